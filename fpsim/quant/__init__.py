"""Scales and policies: which values share a scale, how it is chosen, and which layer gets which format."""
