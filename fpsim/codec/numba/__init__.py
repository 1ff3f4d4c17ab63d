"""The Numba twin: compiled loops at memory speed on the CPU."""

import numba

# Before any kernel is compiled: OpenMP forks in 4 µs; the default layer needs 80 µs a call and stalls on small tensors.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
