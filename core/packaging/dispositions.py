from dataclasses import dataclass

from core.domain.report import AttackResult, EvaluationReport, ItemResult
from core.packaging.attack_notes import attack_title, teaches_items


@dataclass(frozen=True)
class Return:
    """An attack under which an item was over its own limit again."""

    attack: str
    is_known_to_reference: bool  # a model that never saw the item was over the limit as well


@dataclass(frozen=True)
class Row:
    """What became of one forget item."""

    item: ItemResult
    returns: list[Return]
    num_attacks: int  # that have a value of the item to hold against its limits
    is_there: bool  # over its own limit without any attack


@dataclass(frozen=True)
class Dispositions:
    """The forget items, those that need attention first. Each is in one of the lists, in the order of the request."""

    not_forgotten: list[Row]
    came_back: list[Row]
    forgotten: list[Row]
    never_known: list[Row]  # within their limits to begin with, so nothing was to be forgotten
    unasked: list[Row]


def dispositions_of(report: EvaluationReport) -> Dispositions:
    """Return each forget item with the attacks that brought it back.

    An item came back when an attack found it over the limit of a single item and it was not there without one. The
    metrics that count are the gates of the forget set, as for the verdict. What an attacker taught is not back.
    """
    limits = {gate.metric: gate.item_at_most for gate in report.thresholds.forget}
    rows = [_row(item, report.attacks, limits) for item in report.forget.items]
    gone = [row for row in rows if row.item.forgotten and not row.returns]
    return Dispositions(
        not_forgotten=[row for row in rows if row.item.forgotten is False],
        came_back=[row for row in rows if row.item.forgotten and row.returns],
        forgotten=[row for row in gone if row.item.was_known is not False],
        never_known=[row for row in gone if row.item.was_known is False],
        unasked=[row for row in rows if row.item.forgotten is None],
    )


def is_over(values: dict[str, float], limits: dict[str, float]) -> bool:
    """Return whether an item is over any limit that there is a value for."""
    return any(value > limits[metric] for metric, value in values.items() if metric in limits)


def _row(item: ItemResult, attacks: list[AttackResult], limits: dict[str, float]) -> Row:
    returns, asked = [], 0
    for attack in attacks:
        if teaches_items(attack):
            continue
        values = attack.attacked.items.get(item.id, {}) if attack.attacked else {}
        if not values.keys() & limits.keys():
            continue
        asked += 1
        if is_over(values, limits):
            expected = attack.reference.items.get(item.id, {}) if attack.reference else {}
            returns.append(Return(attack_title(attack), is_over(expected, limits)))
    return Row(item, returns, asked, is_over(item.after, limits))
