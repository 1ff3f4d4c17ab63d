"""The torch twins: tensor operations on any device, eager and through ``torch.compile``."""
