"""Matrix-multiply arithmetic of GPUs, bit for bit."""
