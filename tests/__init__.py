"""The tests mirror the packages; ``harness`` is what the kernels' tests share."""
