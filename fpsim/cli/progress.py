"""Progress of long work, on stderr."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class Bar:
    """One progress bar a phase; silent where stderr is no terminal.

    Args:
        unit: what is counted.
    """

    def __init__(self, unit: str = "it") -> None:
        self.unit, self.what = unit, ""
        self.bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, what: str, finished: int, total: int) -> None:
        """Show that ``finished`` of ``total`` are done; another ``what`` begins another bar."""
        if what != self.what:
            self.__exit__()
            self.what, self.bar = what, tqdm(total=total, desc=what, unit=self.unit, disable=None)
        self.bar.total = total
        self.bar.update(finished - self.bar.n)
