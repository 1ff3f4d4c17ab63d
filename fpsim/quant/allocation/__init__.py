"""Mixed precision: which layer gets which format, as an exact integer program under budgets."""
