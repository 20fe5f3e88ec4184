from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.domain.report import TrainingSummary

# The drawing area in the units of the SVG's viewBox; the template leaves room for the labels around it.
WIDTH = 560.0
HEIGHT = 180.0

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A named series, as the ``points`` of an SVG polyline. ``end`` is its last place, for the label."""

    name: str
    points: str
    end: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Series over training steps, with the values at the axis ends."""

    title: str
    lines: list[Line]
    last_step: int
    top: float


def trajectory_charts(training: TrainingSummary) -> list[Chart]:
    """Return the losses and, where training asked for them, the metrics over steps; [] without two points."""
    points = training.trajectory
    losses: dict[str, Points] = {
        "forget loss": [(point.step, point.forget_loss) for point in points if point.forget_loss is not None],
        "retain loss": [(point.step, point.retain_loss) for point in points if point.retain_loss is not None],
    }
    metrics: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for name, value in sorted((point.forget_metrics or {}).items()):
            metrics.setdefault(name, []).append((point.step, value))
    charts = (_chart("Losses during training", losses), _chart("Metrics during training", metrics))
    return [chart for chart in charts if chart is not None]


def _chart(title: str, series: Mapping[str, Points]) -> Chart | None:
    drawn = {name: points for name, points in series.items() if len(points) > 1}
    if not drawn:
        return None
    last_step = max(step for points in drawn.values() for step, _ in points)
    top = max(1.0, *(value for points in drawn.values() for _, value in points))
    lines = [_line(name, points, last_step=last_step, top=top) for name, points in drawn.items()]
    return Chart(title, lines, round(last_step), top)


def _line(name: str, points: Points, *, last_step: float, top: float) -> Line:
    places = [(WIDTH * step / max(last_step, 1.0), HEIGHT * (1.0 - max(value, 0.0) / top)) for step, value in points]
    return Line(name, " ".join(f"{x:.1f},{y:.1f}" for x, y in places), places[-1])
