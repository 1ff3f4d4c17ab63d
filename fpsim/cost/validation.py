"""How far calibrated latencies are off on rows, and on devices, that were left out of the fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from fpsim.cost.fitting import fit, predict
from fpsim.cost.observations import Prepared
from fpsim.cost.parameters import Parameters, Spread

#: Share of left-out rows that intervals are made to hold, and the widest factor where nothing alike was measured.
HELD, FOREIGN = 0.9, math.sqrt(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A row that the fit did not see.

    Attributes:
        id, device: of the row.
        measured, predicted: seconds.
        low, high: the interval, its width from the other folds alone.
    """

    id: str
    device: str
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return self.predicted / self.measured - 1

    @property
    def held(self) -> bool:
        """Whether the interval holds the measurement."""
        return self.low <= self.measured <= self.high


def leave_one_out(rows: Sequence[Prepared]) -> tuple[Fold, ...]:
    """Return a fold for each row, the fit made of all the others."""
    predicted = [predict(row, fit([other for other in rows if other is not row])) for row in rows]
    return _folds(rows, predicted, [row.row.id for row in rows])


def leave_device_out(rows: Sequence[Prepared]) -> tuple[Fold, ...]:
    """Return a fold for each row, the fit made of all rows of other devices."""
    fits = {
        device: fit([row for row in rows if row.row.device != device]) for device in {row.row.device for row in rows}
    }
    return _folds(rows, [predict(row, fits[row.row.device]) for row in rows], [row.row.device for row in rows])


def calibrate(rows: Sequence[Prepared], *, source: str) -> Parameters:
    """Return the fit to all rows, with its MAPE and intervals by rows and devices left out.

    Args:
        rows: observations.
        source: how they were chosen, for outputs.
    """
    one, device = leave_one_out(rows), leave_device_out(rows)
    spread = Spread(seen=factor(one), unseen=max(factor(one), factor(device)), foreign=FOREIGN)
    return replace(fit(rows), mape=100 * fmean(abs(fold.error) for fold in one), spread=spread, source=source)


def factor(folds: Sequence[Fold]) -> float:
    """Return the factor within which :data:`HELD` of the folds' errors are, with a finite sample's allowance."""
    return math.exp(_quantile([math.log(fold.predicted / fold.measured) for fold in folds]))


def median_error(folds: Sequence[Fold]) -> float:
    """Return the median absolute relative error."""
    return median(abs(fold.error) for fold in folds)


def coverage(folds: Sequence[Fold]) -> float:
    """Return the share of measurements that the intervals hold."""
    return fmean(fold.held for fold in folds)


def _folds(rows: Sequence[Prepared], predicted: Sequence[float], groups: Sequence[str]) -> tuple[Fold, ...]:
    return tuple(_each(rows, predicted, groups))


def _each(rows: Sequence[Prepared], predicted: Sequence[float], groups: Sequence[str]) -> Iterator[Fold]:
    logs = [math.log(guess / row.row.seconds) for row, guess in zip(rows, predicted, strict=True)]
    for row, guess, group in zip(rows, predicted, groups, strict=True):
        others = [log for log, other in zip(logs, groups, strict=True) if other != group]
        wide = math.exp(_quantile(others))
        yield Fold(
            id=row.row.id,
            device=row.row.device,
            measured=row.row.seconds,
            predicted=guess,
            low=guess / wide,
            high=guess * wide,
        )


def _quantile(logs: Sequence[float]) -> float:
    sizes = sorted(abs(log) for log in logs)
    place = math.ceil(HELD * (len(sizes) + 1)) - 1
    return sizes[min(place, len(sizes) - 1)] if sizes else math.log(FOREIGN)
