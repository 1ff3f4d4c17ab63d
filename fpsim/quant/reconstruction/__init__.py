"""Block reconstruction: learned rounding of a unit's weights, then learned step sizes of its activations.

The modules import torch; importing this package does not. See :mod:`fpsim.quant.reconstruction.rounding` and
:mod:`fpsim.quant.reconstruction.steps`.
"""
