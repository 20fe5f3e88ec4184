import json

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from core.domain.report import EvaluationReport
from core.packaging.gates import gates_of
from core.packaging.metric_notes import note_of
from core.packaging.report_page import figure


def render_card(report: EvaluationReport) -> str:
    """Return the README.md of an adapter package, with the front matter by which tools recognise a PEFT adapter."""
    environment = Environment(
        loader=PackageLoader("core.packaging"),
        autoescape=select_autoescape(default=False),  # Markdown; what comes from outside is quoted by ``quote``
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": figure, "quote": json.dumps}  # a JSON string is a YAML string and a Python one
    return environment.get_template("README.md.j2").render(
        report=report, base=_base_name(report), gates=gates_of(report), note_of=note_of
    )


def _base_name(report: EvaluationReport) -> str:
    """Return a name that means something elsewhere: a hub id, or the registered id where the source is a path."""
    return report.base_model.source if report.base_model.revision is not None else report.base_model.id
