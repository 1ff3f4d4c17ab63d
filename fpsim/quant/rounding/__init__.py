"""Learned rounding: which of its two neighbours on the grid each weight becomes, so that a layer's output stays.

The modules import torch; importing this package does not. See :mod:`fpsim.quant.rounding.learn` for one layer and
:mod:`fpsim.quant.rounding.blockwise` for several at once.
"""
