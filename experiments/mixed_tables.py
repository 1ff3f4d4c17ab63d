"""How `mixed_precision.py` prints its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixed_images import Lab
from mixed_measures import ranks
from mixed_rows import Row, of, spread
from mixed_settings import FAMILIES, MEASURES

#: Formats at which layers are ranked.
RANKED = {"formats": ("int4", "e2m1"), "widths": ("int3", "int4")}


def points_table(found: list[Row]) -> Iterator[str]:
    """All points by size: bytes against error."""
    yield f"{'weights':<28}{'chosen of':<10}{'bits':>6}{'bytes':>11}{'PSNR, dB':>16}{'mean of images':>17}  layers"
    for row in sorted(of(found, "uniform", "ends", *FAMILIES), key=lambda row: (row.bytes, -row.level)):
        counts = " ".join(f"{name}:{count}" for name, count in row.counts.items())
        family = row.point.group if row.point.mixed else "uniform"
        yield (
            f"{row.point.label:<28}{family:<10}{row.bits:6.2f}{row.bytes:11,}"
            f"{spread(row.psnr):>16}{spread(row.mean):>17}  {counts if len(row.counts) > 1 else 'all'}"
        )


def ranks_table(lab: Lab) -> Iterator[str]:
    """Rank correlations with the ground truth."""
    for family, formats in RANKED.items():
        names = [name for name in MEASURES if f"harm {name} {family}" in lab.store.found]
        if "sensitivity" not in names:
            continue
        columns = {fmt: ranks(lab.measures, tuple(names), family, fmt) for fmt in formats}
        yield f"{family:<16}" + "".join(f"{fmt:>8}" for fmt in formats)
        for name in names:
            if name != "sensitivity":
                yield f"{name:<16}" + "".join(f"{columns[fmt][name]:8.2f}" for fmt in formats)


def pairs_table(found: list[Row]) -> Iterator[str]:
    """Timestep bins and split shortcuts, each against the same without."""
    heading = f"{'weights/inputs':<16}{'with':<17}{'bits':>6}{'PSNR, dB':>15}{'difference':>18}"
    yield f"{heading}{'mean of images':>16}{'difference':>18}"
    for group in ("bins", "split"):
        plain: dict[tuple[str, str | None], Row] = {}
        for row in of(found, group):
            key = (row.point.name, row.point.acts)
            plain.setdefault(key, row)
            said = f"split {row.point.split}" if group == "split" else f"{row.point.bins} timestep bins"
            gains = ["", ""]
            if plain[key] is not row:
                gains = [_gain(row.psnr, plain[key].psnr), _gain(row.mean, plain[key].mean)]
            bits = f"{row.bits:6.2f}"
            yield (
                f"{row.point.name + '/' + str(row.point.acts):<16}{said:<17}{bits}"
                f"{spread(row.psnr):>15}{gains[0]:>18}{spread(row.mean):>16}{gains[1]:>18}"
            )


def _gain(ours: Sequence[float], theirs: Sequence[float]) -> str:
    margins = [a - b for a, b in zip(ours, theirs, strict=True)]
    return f"{spread(margins)} {sum(margin > 0 for margin in margins)}/{len(margins)}"
