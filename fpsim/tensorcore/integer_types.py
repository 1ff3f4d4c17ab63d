"""The operand types whose products are exact, and the ends of their accumulator."""

from __future__ import annotations

INT8, UINT8 = "int8", "uint8"
#: Least and largest numbers of the types.
RANGES = {INT8: (-128, 127), UINT8: (0, 255)}
#: Ends of int32.
LEAST, LARGEST = -(1 << 31), (1 << 31) - 1
