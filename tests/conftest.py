"""What holds for all tests."""

import gc
import os

# Before numpy is loaded: the tests run side by side, and BLAS threads that wait for a core are ten times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Amaranth makes many small objects: Python looks for garbage after 100,000 new ones, not 700.
gc.set_threshold(100_000)
