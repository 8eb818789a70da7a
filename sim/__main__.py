"""``python -m sim``."""

import sys

from hdl.interrupts import end_when_interrupted

end_when_interrupted()

from .command import main  # noqa: E402

sys.exit(main())
