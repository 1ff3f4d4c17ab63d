"""The NumPy twin: whole-array formulas."""
