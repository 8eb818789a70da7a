"""What holds for all tests."""

import os

# Before numpy is loaded: the tests run side by side, and BLAS threads that wait for a core are ten times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
