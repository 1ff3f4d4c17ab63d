"""The Triton twin: one kernel a call on CUDA devices."""
