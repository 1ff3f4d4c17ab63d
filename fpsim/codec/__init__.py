"""fpsim.codec"""
