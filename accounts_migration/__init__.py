"""Moves a legacy bank database into the Account Processing System, accounting for every row."""

import os
import sys

if sys.platform == "linux":
    # read when Arrow is loaded: an allocator that gives memory back, where its usual one keeps 150 MB more at the peak
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")

# nothing here is linear algebra: its threads would only wait, each with memory of its own
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
