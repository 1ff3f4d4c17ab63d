"""fpsim.methods"""
