"""``python -m hdl.top``."""

import sys

from .cli import main

sys.exit(main())
