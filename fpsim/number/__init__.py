"""What a number format is: frozen values, their names, and the exact reference on fractions.

Needs the standard library only.
"""

from fpsim.number.blocks import BlockFormat, ScaleRule
from fpsim.number.codebook import CodebookFormat
from fpsim.number.floats import FloatFormat, Specials
from fpsim.number.ints import IntFormat

#: A format of single elements: codes stand for values without any further scale.
ElementFormat = FloatFormat | IntFormat | CodebookFormat
#: Everything that ``fpsim.format`` can return.
Format = ElementFormat | BlockFormat

__all__ = [
    "BlockFormat",
    "CodebookFormat",
    "ElementFormat",
    "FloatFormat",
    "Format",
    "IntFormat",
    "ScaleRule",
    "Specials",
]
