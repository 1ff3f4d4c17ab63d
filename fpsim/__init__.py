"""fpsim"""
