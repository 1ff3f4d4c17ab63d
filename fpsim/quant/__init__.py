"""fpsim.quant"""
