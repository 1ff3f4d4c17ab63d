"""The format search of Chen et al. 2024, Algorithm 1: the encoding and the real-valued bias of least squared error."""
