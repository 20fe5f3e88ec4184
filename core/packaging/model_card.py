import json
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from core.domain.report import EvaluationReport
from core.packaging.attack_notes import attack_note
from core.packaging.gates import Gate, gates_of
from core.packaging.membership_notes import over_unlearned_sentence
from core.packaging.report_page import figure
from core.packaging.verdict_notes import VERDICT_NOTES


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
    gates = gates_of(report)
    return environment.get_template("README.md.j2").render(
        report=report,
        base=_base_name(report),
        summary=VERDICT_NOTES[report.verdict].summary,
        over_unlearned=over_unlearned_sentence(report),
        gates=gates,
        has_attack_limits=any(gate.attack for gate in gates),
        attack_lines=_attack_lines(report, gates),
    )


def _attack_lines(report: EvaluationReport, gates: Sequence[Gate]) -> list[str]:
    """Return under which attacks the limits held, under which not, and which decide nothing; [] without any attack."""
    limited = {gate.attack for gate in gates if gate.attack}
    failed = {gate.attack for gate in gates if gate.attack and not gate.holds}
    made = {attack_note(attack.name).title for attack in report.attacks if attack.attacked is not None}
    titles = list(dict.fromkeys(attack_note(attack.name).title for attack in report.attacks))
    kinds = {
        "The limits held under attack by": [title for title in titles if title in limited - failed],
        "A limit did **not** hold under attack by": [title for title in titles if title in failed],
        "Tried without a limit, with results in the report only:": [
            title for title in titles if title in made - limited
        ],
        "Could not be tried:": [title for title in titles if title not in made | limited],
    }
    return [f"{what} {', '.join(found).lower()}." for what, found in kinds.items() if found]


def _base_name(report: EvaluationReport) -> str:
    """Return a name that means something elsewhere: a hub id, or the registered id where the source is a path."""
    return report.base_model.source if report.base_model.revision is not None else report.base_model.id
