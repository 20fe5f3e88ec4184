from dataclasses import dataclass
from statistics import fmean

from core.domain.report import AttackOutcome, AttackPoint, AttackResult, EvaluationReport
from core.packaging.attack_finding import comparison_of, finding
from core.packaging.attack_notes import attack_note, attack_sentence, attack_title, teaches_items
from core.packaging.chart import Limit, attack_chart
from core.packaging.dispositions import is_over
from core.packaging.drawing import Chart

NUM_WORST = 5


@dataclass(frozen=True)
class MeanRow:
    """One metric's mean over the attacked items under each model. None: not measured."""

    metric: str
    before: float | None
    unattacked: float | None
    attacked: float | None
    compared: float | None  # with the reference, or with texts that no model saw
    at_most: float | None  # the limit of the policy; None: it is shown and decides nothing

    @property
    def holds(self) -> bool:
        """Whether the limit held, where there is one."""
        return self.at_most is None or (self.attacked is not None and self.attacked <= self.at_most)


@dataclass(frozen=True)
class WorstItem:
    """An item that gave much away. A model that has no value of it has an empty mapping."""

    id: str
    unattacked: dict[str, float]
    attacked: dict[str, float]
    reference: dict[str, float]


@dataclass(frozen=True)
class CoursePoint:
    """What was given away at one point of the course, and in what it is compared with."""

    x: float
    attacked: dict[str, float]
    compared: dict[str, float]


@dataclass(frozen=True)
class AttackView:
    """One attack as the page shows it."""

    attack: AttackResult
    title: str
    sentence: str
    finding: str | None  # what it shows beside its comparison; None: it asks for no difference
    compared_title: str  # what stands beside the attacked items
    effort: str
    means: list[MeanRow]
    worst: list[WorstItem]
    course: list[CoursePoint]
    is_taught: bool  # the attacker trains on the very items, so none is held to a limit of its own
    num_over: int | None  # attacked items over their own limits; None: no limit is of a metric of the attack
    num_over_unattacked: int | None  # the same items without the attack
    is_elsewhere_made: bool  # another variant of the attack could be made
    chart: Chart | None


def attack_views(report: EvaluationReport) -> list[AttackView]:
    """Return every attack with its sentence, its means against their limits, its worst items and its course."""
    return [_view(place, attack, report) for place, attack in enumerate(report.attacks)]


def _view(place: int, attack: AttackResult, report: EvaluationReport) -> AttackView:
    is_taught = teaches_items(attack)
    item_limits = {} if is_taught else {gate.metric: gate.item_at_most for gate in report.thresholds.forget}
    # Its own limits, not those of the forget set: a line that decides nothing must not look like one that does.
    limits = {metric: Limit(value, is_upper=True) for metric, value in attack.at_most.items()}
    effort = attack_note(attack.name).effort
    return AttackView(
        attack=attack,
        title=attack_title(attack),
        sentence=attack_sentence(attack),
        finding=finding(attack),
        compared_title="Unseen texts" if attack.control else "Reference",
        effort=effort,
        means=_means(attack, report),
        worst=_worst(attack),
        course=_course(attack),
        is_taught=is_taught,
        num_over=_num_over(attack.attacked, item_limits),
        num_over_unattacked=_num_over(attack.unattacked, item_limits),
        is_elsewhere_made=any(other.name == attack.name and other.attacked for other in report.attacks),
        chart=attack_chart(f"attack-{place}", attack, limits, effort=effort),
    )


def _num_over(outcome: AttackOutcome | None, limits: dict[str, float]) -> int | None:
    if outcome is None or not outcome.means.keys() & limits.keys():
        return None
    return sum(is_over(values, limits) for values in outcome.items.values())


def _means(attack: AttackResult, report: EvaluationReport) -> list[MeanRow]:
    if attack.attacked is None:
        return []
    ids = attack.attacked.items.keys()
    compared = _compared(attack)
    rows = []
    for metric, value in attack.attacked.means.items():
        before = [item.before[metric] for item in report.forget.items if item.id in ids and metric in item.before]
        rows.append(
            MeanRow(
                metric=metric,
                # Of a part of the items it would be compared with a mean over all of them.
                before=fmean(before) if before and len(before) == len(ids) else None,
                unattacked=attack.unattacked.means.get(metric) if attack.unattacked else None,
                attacked=value,
                compared=compared.means.get(metric) if compared else None,
                at_most=attack.at_most.get(metric),
            )
        )
    return rows


def _worst(attack: AttackResult) -> list[WorstItem]:
    """Return the items that gave most away, by the mean of their metrics."""
    ranked = sorted(_items(attack.attacked).items(), key=lambda item: (-fmean(item[1].values() or [0.0]), item[0]))
    return [
        WorstItem(
            id=name,
            unattacked=_items(attack.unattacked).get(name, {}),
            attacked=values,
            reference=_items(attack.reference).get(name, {}),
        )
        for name, values in ranked[:NUM_WORST]
    ]


def _course(attack: AttackResult) -> list[CoursePoint]:
    compared = {point.x: point.means for point in _curve(_compared(attack))}
    return [CoursePoint(point.x, point.means, compared.get(point.x, {})) for point in _curve(attack.attacked)]


def _compared(attack: AttackResult) -> AttackOutcome | None:
    comparison = comparison_of(attack)
    return comparison.outcome if comparison else None


def _items(outcome: AttackOutcome | None) -> dict[str, dict[str, float]]:
    return outcome.items if outcome else {}


def _curve(outcome: AttackOutcome | None) -> list[AttackPoint]:
    return outcome.curve if outcome else []
