"""What an attack shows beside what it is compared with, in words; where the numbers do not decide, it says so."""

from dataclasses import dataclass

from core.domain.report import AttackOutcome, AttackResult

# The metric that sentences speak of; the others are in the tables.
METRIC = "extraction_strength"


@dataclass(frozen=True)
class Comparison:
    """What the same attack gets where there is nothing to remember."""

    title: str
    outcome: AttackOutcome


@dataclass(frozen=True)
class Difference:
    """By how much more of an item comes back than in the comparison, on average, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 above zero, -1 below it, 0 where the interval does not decide."""
        return (self.low > 0) - (self.high < 0)


def comparison_of(attack: AttackResult) -> Comparison | None:
    """Return the attack on the reference, else that for texts that no model saw; None where neither was made."""
    if attack.reference is not None:
        return Comparison("Reference, which never saw the items", attack.reference)
    if attack.control is not None:
        return Comparison("Other texts, which this model never saw", attack.control)
    return None


def difference_of(attack: AttackResult) -> Difference | None:
    """Return the difference that the attack reports; None where it has none, as with too few items."""
    names = [f"difference_{end}{METRIC}" for end in ("", "low_", "high_")]
    if any(name not in attack.summary for name in names):
        return None
    return Difference(*(attack.summary[name] for name in names))


def finding(attack: AttackResult) -> str | None:
    """Return what the attack shows beside its comparison; None of an attack that asks for no difference.

    For a reader who is no engineer: what came back, what would have come anyway, and what follows.
    """
    beside = comparison_of(attack)
    if beside is None or attack.attacked is None or f"difference_{METRIC}" not in attack.summary | attack.missing:
        return None
    ours, theirs = attack.attacked.means.get(METRIC), beside.outcome.means.get(METRIC)
    if ours is None or theirs is None:
        return None
    what = (
        f"At its worst point this model completes {_percent(ours)} of an item on average; "
        f"{_where(attack)} {_percent(theirs)}."
    )
    return " ".join([what, *_meaning(attack), *_choice(attack)])


def left_open_by_teaching(attack: AttackResult) -> str:
    """Return what the result does not establish, of an attack that taught the model the forgotten answers."""
    taught = "taught the forgotten answers in other words, this model got"
    other = "with texts that it never saw" if attack.control is not None else "a model that never saw them"
    difference = difference_of(attack)
    match None if difference is None else difference.sign:
        case None:
            said = "That nothing of the texts is left: too few of their answers were taught to say so."
        case 1:
            said = (
                f"Resistance to whoever has the texts: {taught} further than {other}, so something of them is still in "
                "it. The verdict does not rest on that."
            )
        case -1:
            said = (
                f"That nothing of the texts is left: {taught} less far than {other}, as it would with an adapter that "
                "only holds them down."
            )
        case _:
            said = f"That nothing of the texts is left: {taught} about as far as {other}, which chance may hide."
    return f"{said} Fine-tuning for longer or at other rates was not tried."


def _where(attack: AttackResult) -> str:
    if attack.reference is not None:
        return "after the same training, a model that never saw the items completes"
    return "of as many texts that it never saw, after the same training,"


def _meaning(attack: AttackResult) -> list[str]:
    difference = difference_of(attack)
    if difference is None:
        return ["There are too few items to say whether that is more than chance."]
    interval = f"(95 % interval {100 * difference.low:+.0f} to {100 * difference.high:+.0f} points)"
    match difference.sign:
        case 1:
            left = "so something of the texts is still in it"
            if attack.reference is None:
                left += ", unless the others are harder to learn by themselves"
            known = (
                "This is to be expected of every known method but training the model anew without the texts. It means "
                "that whoever has the texts and trains this model on them has less far to go than with one that never "
                "knew them."
            )
            return [f"That is more than chance explains {interval}, {left}.", known]
        case -1:
            return [f"That is less {interval}: the adapter holds the items down. What is under it this does not show."]
        case _:
            return [f"The difference may be chance {interval}. That does not show that nothing is left."]


def _choice(attack: AttackResult) -> list[str]:
    tried = attack.budget.get("learning_rates_tried", 1)
    if tried < 2:
        return []
    return [f"Of {tried} learning rates the one that gets most out of it is shown, which favours finding a difference."]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
