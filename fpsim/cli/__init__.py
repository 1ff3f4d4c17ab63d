"""fpsim.cli"""
