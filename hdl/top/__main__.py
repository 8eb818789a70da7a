"""``python -m hdl.top``."""

import sys

from hdl.interrupts import end_when_interrupted

end_when_interrupted()

from .cli import main  # noqa: E402

sys.exit(main())
