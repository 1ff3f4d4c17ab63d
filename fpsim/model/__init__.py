"""fpsim.model"""
