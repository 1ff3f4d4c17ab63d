"""What a format search found, and everything that it tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.quant.biases import factors
from fpsim.quant.granularity import Granularity, PerChannel, PerTensor
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import Scales
from fpsim.quant.search.candidates import Encoding
from fpsim.quant.search.magnitudes import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """The best format of a tensor, or of each of its channels (*groups*: one, or one a channel).

    Attributes:
        encodings: what was tried, in order.
        granularity: which values share a bias.
        winners: ``[groups]``: places in ``encodings``.
        index: ``[groups]``: places of the best candidates, encodings outer, maxima inner.
        bias: ``[groups]``, float64: the best exponent biases.
        maximum: ``[groups]``, float64: the largest values of the best formats, the c of equation 7.
        normalized: ``[groups, encodings, maxima]``: summed squared errors, each group's in units of its own.
        magnitudes: the groups' energies and exponents, from :class:`~fpsim.quant.search.magnitudes.Magnitudes`, and
            the values a group.
    """

    encodings: tuple[Encoding, ...]
    granularity: Granularity
    winners: NDArray[np.int64]
    index: NDArray[np.int64]
    bias: Floats
    maximum: Floats
    normalized: Floats
    magnitudes: tuple[Floats, NDArray[np.int64], int]

    @property
    def formats(self) -> tuple[FloatFormat, ...]:
        """The best format of each group, all-finite, with its real bias; named such as ``e4m3 bias=6.37``."""
        pairs = zip(self.winners, self.bias, strict=True)
        return tuple(self.encodings[place].format(float(bias)) for place, bias in pairs)

    @property
    def encoding(self) -> Encoding:
        """The one encoding of the tensor.

        Raises:
            FpsimError: the channels have several; ``formats`` lists them.
        """
        if (self.winners != self.winners[0]).any():
            raise FpsimError("the channels have encodings of their own, so there is no single format; use .formats")
        return self.encodings[int(self.winners[0])]

    @property
    def format(self) -> FloatFormat:
        """The best format with its bias; per channel, the encoding with the paper's default bias.

        Raises:
            FpsimError: as ``encoding``.
        """
        encoding = self.encoding
        return self.formats[0] if isinstance(self.granularity, PerTensor) else encoding.default

    @property
    def scales(self) -> Floats:
        """``[groups]``: the factors between ``format`` and each group's; all 1 per tensor, where it is the same."""
        if isinstance(self.granularity, PerTensor):
            return np.ones(1)
        return factors(self.format.bias, self.bias)

    def quantizer(self, dtype: str = "float32") -> Quantizer:
        """Return a quantizer that rounds tensors to what was found.

        Args:
            dtype: ``float32`` for tensors of at most 32 bits, ``float64`` for those of 64.

        Raises:
            FpsimError: as ``encoding``, or a scale beyond the dtype.
        """
        assert isinstance(self.granularity, PerTensor | PerChannel), "a search per block is refused"
        return Quantizer(self.format, self.granularity, "none", Scales(self.scales.astype(dtype)))

    @property
    def errors(self) -> Floats:
        """``[groups, encodings, maxima]``: the mean squared error of each candidate."""
        _, exponent, count = self.magnitudes
        found: Floats = np.ldexp(self.normalized / count, 2 * exponent[:, None, None])
        return found

    @property
    def mse(self) -> float:
        """The mean squared error of the whole tensor at the best candidates."""
        return float(self._best_errors().mean())

    @property
    def sqnr_db(self) -> float:
        """The signal-to-quantization-noise ratio of the whole tensor in decibels; inf without any error."""
        return self._sqnr_db(self.winners)

    def ranking(self) -> list[tuple[str, float]]:
        """Return each encoding with its SQNR in decibels at its best maxima, the best one first."""
        order = [self._sqnr_db(np.full_like(self.winners, place)) for place in range(len(self.encodings))]
        mixed = (self.winners != self.winners[0]).any()
        first = -1 if mixed else int(self.winners[0])  # of equal ones the winner comes first
        places = sorted(range(len(order)), key=lambda place: (-order[place], place != first))
        return [(self.encodings[place].name, order[place]) for place in places]

    def _best_errors(self) -> Floats:
        rows, columns = np.arange(len(self.index)), self.index % self.normalized.shape[2]
        _, exponent, count = self.magnitudes
        found: Floats = np.ldexp(self.normalized[rows, self.winners, columns] / count, 2 * exponent)
        return found

    def _sqnr_db(self, places: NDArray[np.int64]) -> float:
        energy, exponent, _ = self.magnitudes
        least = self.normalized[np.arange(len(places)), places].min(axis=1)
        shift = 2 * (exponent - exponent.max())  # no square leaves the range
        signal, noise = float(np.ldexp(energy, shift).sum()), float(np.ldexp(least, shift).sum())
        return math.inf if noise == 0 else 10 * math.log10(signal / noise)
