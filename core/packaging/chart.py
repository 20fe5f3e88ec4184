from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from core.domain.report import AttackOutcome, AttackResult, MetricChange, SetResult, Thresholds, TrajectoryPoint
from core.packaging.attack_finding import comparison_of
from core.packaging.drawing import COLOURS, Chart, draw
from core.packaging.metric_notes import note_of

# Apart by colour, by stroke and by marker: the page may be printed in grey.
_SERIES = (("a", "-", "o"), ("b", "--", "s"), ("c", "-.", "D"), ("d", ":", "^"))
_MAX_MARKERS = 12

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Limit:
    """Where a gate is."""

    value: float
    is_upper: bool

    @property
    def words(self) -> str:
        """The limit as it is said."""
        return f"limit at {'most' if self.is_upper else 'least'} {self.value:.3f}"


@dataclass(frozen=True)
class Series:
    """Values along a course, with the limit that they are held to where there is one."""

    title: str
    points: Points
    limit: Limit | None = None


def trajectory_charts(points: Sequence[TrajectoryPoint], thresholds: Thresholds) -> list[Chart]:
    """Return the checks against the limits and the losses over the steps of training; [] without two points of any."""
    checks = [series for series in check_series(points, thresholds) if len(series.points) > 1]
    losses = [series for series in loss_series(points) if len(series.points) > 1]
    charts = []
    if checks:
        charts.append(_course_chart("checks", "Forgetting and keeping during training", checks, is_share=True))
    if losses:
        charts.append(_course_chart("losses", "Losses during training", losses, is_share=False))
    return charts


def check_series(points: Sequence[TrajectoryPoint], thresholds: Thresholds) -> list[Series]:
    """Return what the stop checks measured: metrics of the forget set, and what is left of the retain set's."""
    limits: dict[str, tuple[str, Limit]] = {}
    for gate in thresholds.forget:
        shown = (f"{note_of(gate.metric).title}, forget set", Limit(gate.at_most, is_upper=True))
        limits |= {gate.metric: shown, f"forget_{gate.metric}": shown}
    for kept in thresholds.retain:
        title = f"{note_of(kept.metric).title}, retain set, share of before"
        limits[f"retain_{kept.metric}_share"] = (title, Limit(kept.at_least_ratio, is_upper=False))
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for name, value in sorted((point.forget_metrics or {}).items()):
            found.setdefault(name, []).append((point.step, value))
    series = []
    for name, values in found.items():
        title, limit = limits.get(name, (note_of(name).title, None))
        series.append(Series(title, values, limit))
    return series


def loss_series(points: Sequence[TrajectoryPoint]) -> list[Series]:
    """Return both losses, without the steps that had none."""
    return [
        Series("Forget loss", [(point.step, point.forget_loss) for point in points if point.forget_loss is not None]),
        Series("Retain loss", [(point.step, point.retain_loss) for point in points if point.retain_loss is not None]),
    ]


def change_chart(set_name: str, result: SetResult, limits: Mapping[str, Limit], *, has_after: bool) -> Chart | None:
    """Return each metric before and after, with its interval and its limit; None where nothing was measured.

    Without an adapter there is no after, and what was measured stands alone.

    Shares stand on one axis. A metric that leaves [0, 1], as perplexity does, has an axis of its own below them.
    """
    shares = {metric: change for metric, change in result.metrics.items() if max(_values(change)) <= 1}
    others = {metric: change for metric, change in result.metrics.items() if metric not in shares}
    if not result.metrics:
        return None

    def paint(figure: Figure) -> None:
        heights = ([len(shares) + 0.6] if shares else []) + [1.6] * len(others)
        rows = list(figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0])
        if shares:
            _dumbbells(rows.pop(0), shares, limits, has_after=has_after)
        for axes, (metric, change) in zip(rows, others.items(), strict=True):
            _dumbbells(axes, {metric: change}, limits, has_after=has_after)
        _one_legend(figure, columns=2)

    words = [
        _in_words(metric, change, limits.get(metric), has_after=has_after) for metric, change in result.metrics.items()
    ]
    height = 58 + 44 * len(shares) + (20 if shares else 0) + 74 * len(others)
    title = f"The {set_name} set{' before and after' if has_after else ''}"
    return draw(set_name, title, " ".join(words), paint, height=height)


def attack_chart(name: str, attack: AttackResult, limits: Mapping[str, Limit], *, effort: str) -> Chart | None:
    """Return the course of an attack beside what it is compared with; None of an attack that has no course."""
    if attack.attacked is None or len(attack.attacked.curve) < 2:
        return None
    beside = comparison_of(attack)
    panels = {
        note_of(metric).title: [
            Series("This model", points, limits.get(metric)),
            *([Series(beside.title, other)] if beside and (other := _course(beside.outcome, metric)) else []),
        ]
        for metric in attack.attacked.means
        if (points := _course(attack.attacked, metric))
    }
    if not panels:
        return None

    def paint(figure: Figure) -> None:
        rows = figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0]
        for axes, (title, series) in zip(rows, panels.items(), strict=True):
            axes.set_title(title)
            _courses(axes, series)
            axes.set_ylim(-0.03, 1.03)
        rows[-1].set_xlabel(effort)
        _one_legend(figure, columns=1)

    words = [f"{title}. {_course_words(one, effort)}" for title, series in panels.items() for one in series]
    title = f"What comes back over the {effort}"
    return draw(name, title, " ".join(words), paint, height=62 + 118 * len(panels))


def _course_chart(name: str, title: str, series: Sequence[Series], *, is_share: bool) -> Chart:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _courses(axes, series)
        axes.set_xlabel("training steps")
        top = max(value for one in series for _, value in one.points)
        low = min(0.0, *(value for one in series for _, value in one.points))
        axes.set_ylim(low - 0.03 * (top - low), max(1.0 if is_share else 0.0, top) * 1.04 or 1.0)
        _one_legend(figure, columns=1)

    words = " ".join(_course_words(one, "training steps") for one in series)
    return draw(name, title, words, paint, height=170 + 16 * len(series))


def _courses(axes: Axes, series: Sequence[Series]) -> None:
    has_limit = False
    for place, one in enumerate(series):
        colour, stroke, marker = _SERIES[place % len(_SERIES)]
        steps, values = zip(*one.points, strict=True)
        every = -(-len(steps) // _MAX_MARKERS)
        axes.plot(
            steps, values, stroke, color=COLOURS[colour], marker=marker, markevery=every, clip_on=False, label=one.title
        )
        if one.limit is not None:
            has_limit = True
            axes.axhline(one.limit.value, color=COLOURS[colour], linewidth=1, linestyle=(0, (1, 2)))
    if has_limit:
        axes.plot(
            [], [], color=COLOURS["soft"], linewidth=1, linestyle=(0, (1, 2)), label="Limit, in the line's colour"
        )


def _dumbbells(
    axes: Axes, changes: Mapping[str, MetricChange], limits: Mapping[str, Limit], *, has_after: bool
) -> None:
    for row, (metric, change) in enumerate(changes.items()):
        # On a phone there is no room for names beside the axis, so they stand on it.
        axes.text(0, -row + 0.36, note_of(metric).title, transform=axes.get_yaxis_transform(), va="center")
        _mark(axes, change.before, change.before_ci95, -row + 0.1, ("b", "s", "Before" if has_after else "Measured"))
        if has_after:
            _mark(axes, change.after, change.after_ci95, -row - 0.12, ("a", "o", "After"))
        if change.reference is not None:
            _mark(axes, change.reference, None, -row - 0.32, ("c", "D", "Reference"))
        if (limit := limits.get(metric)) is not None:
            ends = [-row + 0.2, -row - 0.4]
            axes.plot([limit.value] * 2, ends, color=COLOURS["bad"], linewidth=1.6, label="Limit")
    axes.set_ylim(-len(changes) + 0.5, 0.55)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    values = [value for change in changes.values() for value in _values(change)]
    if max(values) <= 1:
        axes.set_xlim(min(0.0, *values), 1)
    elif min(values) > 0 and max(values) / min(values) > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if max(values) / min(values) < 200 else (1.0,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")  # the usual powers of ten would be mathematical text


def _mark(
    axes: Axes, value: float, interval: tuple[float, float] | None, height: float, look: tuple[str, str, str]
) -> None:
    colour, marker, label = look
    if interval is not None:
        axes.plot(interval, [height] * 2, color=COLOURS[colour], linewidth=2.4, clip_on=False)
    axes.plot(
        [value], [height], marker, color=COLOURS[colour], markeredgecolor=COLOURS["card"], clip_on=False, label=label
    )


def _one_legend(figure: Figure, *, columns: int) -> None:
    """Name each look once, above the drawing."""
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True)) | found
    figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=columns)


def _values(change: MetricChange) -> list[float]:
    known = [change.before, change.after, *(change.before_ci95 or ()), *(change.after_ci95 or ())]
    return known if change.reference is None else [*known, change.reference]


def _course(outcome: AttackOutcome, metric: str) -> Points:
    return [(point.x, point.means[metric]) for point in outcome.curve if metric in point.means]


def _course_words(series: Series, effort: str) -> str:
    (first, start), (last, end) = series.points[0], series.points[-1]
    limit = f"; {series.limit.words}" if series.limit else ""
    return f"{series.title}: {start:.3f} at {first:g} {effort}, {end:.3f} at {last:g}{limit}."


def _in_words(metric: str, change: MetricChange, limit: Limit | None, *, has_after: bool) -> str:
    when = "before " if has_after else ""
    parts = [f"{note_of(metric).title}: {when}{_point(change.before, change.before_ci95)}"]
    if has_after:
        parts.append(f"after {_point(change.after, change.after_ci95)}")
    if change.reference is not None:
        parts.append(f"reference {change.reference:.3f}")
    if limit is not None:
        parts.append(limit.words)
    return ", ".join(parts) + "."


def _point(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
