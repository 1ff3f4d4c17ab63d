"""Quantization methods, one file a paper, and the simulation that runs and measures them."""
