"""What so much work would cost, from what other amounts of it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

_ALIKE = 1.25  # sizes within this factor are one size: what they cost is known without any line
_SPAN = 2.0  # sizes nearer than this factor say nothing about how a cost grows: noise does


@dataclass(frozen=True)
class Range:
    """What is likely, and what it cannot well be under or over."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Point:
    """What so much work cost, both at least 0."""

    work: float
    cost: float


def cost_of(work: float, points: Sequence[Point]) -> Range:
    """Return the cost of so much work: that of the points of like size where there are any, else by a line.

    Args:
        work: at least 0.
        points: at least one.
    """
    alike = [point for point in points if max(point.work, work) <= _ALIKE * min(point.work, work)]
    if alike:
        return _scaled(_middle(alike), work)
    least, most = min(point.work for point in points), max(point.work for point in points)
    return _scaled(_middle(points), work) if most < _SPAN * least or most == 0 else _on_line(points, work)


def _middle(points: Sequence[Point]) -> Point:
    return Point(median(point.work for point in points), median(point.cost for point in points))


def _scaled(point: Point, work: float) -> Range:
    """Return the cost of so much work by a single point, which does not tell the part of it that grows with the work.

    Between all and none of it; likely is the geometric mean, wrong by the same factor whichever of them is right.
    """
    ratio = work / point.work if point.work else 1.0
    return Range(point.cost * min(1.0, ratio), point.cost * math.sqrt(ratio), point.cost * max(1.0, ratio))


def _on_line(points: Sequence[Point], work: float) -> Range:
    """Return the cost by the line with neither a negative rate nor a negative overhead that misses the points least.

    A miss is ``|line - cost| / max(line, cost)``, from 0 to 1: relative, for a job ten times as large varies by ten
    times as much, and bounded, so that no point alone can pull the line away. Tried are all lines through two points,
    and through one where either the rate or the overhead is 0.
    """
    pairs = [(one, other) for one, other in combinations(points, 2) if one.work != other.work]
    rates = [(other, (other.cost - one.cost) / (other.work - one.work)) for one, other in pairs]
    lines = [(point.cost - rate * point.work, rate) for point, rate in rates]
    lines += [(point.cost, 0.0) for point in points]
    lines += [(0.0, point.cost / point.work) for point in points if point.work]
    allowed = [line for line in lines if min(line) >= 0]
    overhead, rate = min(allowed, key=lambda line: sum(_miss(line[0] + line[1] * each.work, each) for each in points))
    cost = overhead + rate * work
    return Range(cost, cost, cost)


def _miss(predicted: float, point: Point) -> float:
    most = max(predicted, point.cost)
    return abs(predicted - point.cost) / most if most else 0.0
