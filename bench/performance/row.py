"""A line of the table of docs/results/performance.md: a ratio that was measured inside one run, and its target."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most, or at least, this much."""

    bound: Literal["at most", "at least"]
    value: float

    def is_met(self, figure: float) -> bool:
        """Whether the figure is on the right side."""
        return figure <= self.value if self.bound == "at most" else figure >= self.value

    def __str__(self) -> str:
        """Return it as the table shows it."""
        return f"{self.bound} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """A measured figure. Where a repeat gave another value, ``low`` and ``high`` are its range."""

    what: str
    figure: float  # median over the repeats
    low: float
    high: float
    target: Target | None  # None: shown for orientation
    how: str  # what was run against what, with its sizes, for a reader who wants to repeat it

    @classmethod
    def of(cls, what: str, figures: Sequence[float], target: Target | None, how: str) -> "Row":
        """Return the row of a figure that was measured several times."""
        return cls(what, statistics.median(figures), min(figures), max(figures), target, how)


def seconds(action: Callable[[], object]) -> float:
    """Return how long one call takes, in seconds of wall time."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratios(ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int) -> list[float]:
    """Return the wall time of one over that of the other, once a repeat, after one call of each to warm up.

    The two alternate, and each repeat has its own ratio: a machine that is slow for a while is slow for both.
    """
    ours()
    theirs()
    return [seconds(ours) / seconds(theirs) for _ in range(repeats)]
