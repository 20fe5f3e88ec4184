import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from core.domain.report import EvaluationReport, ItemResult, TrajectoryPoint
from core.packaging.attack_notes import summary_title
from core.packaging.attack_view import AttackView, attack_views
from core.packaging.chart import Limit, Series, change_chart, check_series, loss_series, trajectory_charts
from core.packaging.dispositions import dispositions_of
from core.packaging.drawing import COLOURS, Chart
from core.packaging.exposure_notes import LUCK_BITS, MAX_P_VALUE, exposure_reading, most_bits
from core.packaging.gaps import NOT_IN_REPORT, gaps_of
from core.packaging.gates import gates_of
from core.packaging.membership_notes import CI95_METHODS, membership_note, over_unlearned_sentence, reading
from core.packaging.metric_notes import note_of
from core.packaging.verdict_notes import VERDICT_NOTES

# What is shown of a long training and of a long retain set. Every number is in the JSON report.
MAX_STEPS_SHOWN = 200
MAX_RETAIN_ITEMS_SHOWN = 100


@dataclass(frozen=True)
class Drawings:
    """What of a page takes long to make. It says nothing of how long the job took, so it can be made before the end."""

    course: list[Chart]
    forget: Chart | None
    retain: Chart | None  # None as well where nothing was changed
    attacks: list[AttackView]


def drawings_of(report: EvaluationReport) -> Drawings:
    """Return the charts of a report's page."""
    has_adapter = report.adapter_rank is not None
    forget_limits = {gate.metric: Limit(gate.at_most, is_upper=True) for gate in report.thresholds.forget}
    return Drawings(
        course=trajectory_charts(_points_of(report), report.thresholds),
        forget=change_chart("forget", report.forget, forget_limits, has_after=has_adapter),
        retain=change_chart("retain", report.retain, _retain_limits(report), has_after=True) if has_adapter else None,
        attacks=attack_views(report),
    )


def render(report: EvaluationReport, drawings: Drawings | None = None) -> str:
    """Return the report as one page for a reader who is no engineer.

    The page is complete in itself: it loads nothing, runs no script, and can be archived as one file. It shows ids
    only, for the report holds no texts; every value is escaped, for ids are the client's.

    Args:
        report: what is told.
        drawings: those of the report, if they are made already.
    """
    has_adapter = report.adapter_rank is not None
    points = _points_of(report)
    drawn = drawings or drawings_of(report)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            verdict=VERDICT_NOTES[report.verdict],
            over_unlearned=over_unlearned_sentence(report),
            has_adapter=has_adapter,
            has_reference=any(
                change.reference is not None
                for result in (report.forget, report.retain, report.holdout)
                for change in (result.metrics.values() if result else ())
            ),
            # Where nothing was changed, there is nothing that the retain set could have lost.
            gates=[gate for gate in gates_of(report) if has_adapter or gate.set_name == "forget"],
            dispositions=dispositions_of(report),
            retain_items=_worst_kept(report),
            attacks=drawn.attacks,
            gaps=gaps_of(report),
            reason_for=lambda name: report.not_measured.get(name, NOT_IN_REPORT),
            charts=drawn.course,
            points=points,
            course={series.title: dict(series.points) for series in _series(report, points) if series.points},
            forget_chart=drawn.forget,
            retain_chart=drawn.retain,
            options=report.method.model_dump(),
        )
    )


def figure(value: float | None) -> str:
    """Return a measured number as people read it: three decimals where it is small, no more digits than it has."""
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        raise ValueError(f"a report must hold finite numbers only, not {value}")
    if abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if abs(value) < 10_000 else f"{value:.2e}"


def p_value(value: float) -> str:
    """Return a p-value; a small one is no zero."""
    return "below 0.001" if value < 0.001 else figure(value)


@cache
def _environment() -> Environment:
    """Return the templates, compiled once: that takes as long as two drawings."""
    # Missing fields must fail here, not print as nothing in a document that somebody relies on.
    environment = Environment(
        loader=PackageLoader("core.packaging"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "p_value": p_value}
    environment.globals |= {
        "note_of": note_of,
        "membership_note": membership_note,
        "reading": reading,
        "summary_title": summary_title,
        "ci95_methods": CI95_METHODS,
        "exposure_reading": exposure_reading,
        "luck_bits": LUCK_BITS,
        "max_p_value": MAX_P_VALUE,
        "most_bits": most_bits,
        "colours": list(COLOURS),
    }
    return environment


def _series(report: EvaluationReport, points: Sequence[TrajectoryPoint]) -> list[Series]:
    return [*check_series(points, report.thresholds), *loss_series(points)]


def _retain_limits(report: EvaluationReport) -> dict[str, Limit]:
    return {
        gate.metric: Limit(gate.at_least_ratio * change.before, is_upper=False)
        for gate in report.thresholds.retain
        if (change := report.retain.metrics.get(gate.metric)) is not None
    }


def _points_of(report: EvaluationReport) -> list[TrajectoryPoint]:
    """Return evenly spaced points of a long course, with each that was checked and the last one."""
    points = report.training.trajectory if report.training else []
    every = -(-len(points) // MAX_STEPS_SHOWN) or 1
    return [
        point
        for place, point in enumerate(points)
        if place % every == 0 or point.forget_metrics or place == len(points) - 1
    ]


def _worst_kept(report: EvaluationReport) -> list[ItemResult]:
    """Return the retain items that lost most of the first gated metric, as many as are shown."""
    gated = [gate.metric for gate in report.thresholds.retain]
    items = report.retain.items
    if gated:
        items = sorted(items, key=lambda item: item.after.get(gated[0], 0.0) - item.before.get(gated[0], 0.0))
    return items[:MAX_RETAIN_ITEMS_SHOWN]
