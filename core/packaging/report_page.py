import math

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from core.domain.report import EvaluationReport, Verdict
from core.packaging.chart import HEIGHT, WIDTH, trajectory_charts
from core.packaging.gates import gates_of
from core.packaging.metric_notes import note_of

_HEADLINES = {
    Verdict.FORGOTTEN: "Forgotten",
    Verdict.PARTLY_FORGOTTEN: "Partly forgotten",
    Verdict.NOT_FORGOTTEN: "Not forgotten",
    Verdict.DAMAGED: "Damaged",
    Verdict.NO_ACTION_NEEDED: "No action needed",
}

_SUMMARIES = {
    Verdict.FORGOTTEN: (
        "With this adapter the model no longer reproduces the texts of the request beyond the limits below, "
        "and it still knows what it was to keep."
    ),
    Verdict.PARTLY_FORGOTTEN: (
        "With this adapter the model still knows what it was to keep, and some of the texts are forgotten, "
        "but not all of them: the request is not fulfilled yet."
    ),
    Verdict.NOT_FORGOTTEN: (
        "With this adapter the model still reproduces the texts of the request: the request is not fulfilled."
    ),
    Verdict.DAMAGED: (
        "With this adapter the model has lost too much of what it was to keep. "
        "The adapter should not be served, whatever it forgot."
    ),
    Verdict.NO_ACTION_NEEDED: (
        "The model knows the texts of the request no better than texts that it has never seen, item by item. "
        "Nothing was trained and there is no adapter."
    ),
}


def render(report: EvaluationReport) -> str:
    """Return the report as one page for a reader who is no engineer.

    The page is complete in itself: it loads nothing, runs no script, and can be archived as one file. It shows ids
    only, for the report holds no texts; every value is escaped, for ids are the client's.
    """
    # Missing fields must fail here, not print as nothing in a document that somebody relies on.
    environment = Environment(
        loader=PackageLoader("core.packaging"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=_HEADLINES[report.verdict],
        summary=_SUMMARIES[report.verdict],
        num_forgotten=sum(item.forgotten is True for item in report.forget.items),
        gates=gates_of(report),
        charts=trajectory_charts(report.training) if report.training else [],
        chart_width=WIDTH,
        chart_height=HEIGHT,
        note_of=note_of,
        options=report.method.model_dump(),
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
