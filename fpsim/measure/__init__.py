"""Error measures on arrays and on pairs of images: pure functions, NumPy and SciPy only."""
