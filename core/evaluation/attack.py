from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import torch
from transformers import PreTrainedModel

from core.data.corpus import AnyItem, Example, ItemEncoder
from core.domain.items import FactItem, PairItem
from core.domain.report import AttackOutcome, AttackPoint, AttackResult
from core.evaluation.evaluate import MeasuredItem, evaluate
from core.evaluation.metrics import METRICS
from core.modeling.adapter import Adapter
from core.modeling.base_model import BaseModel

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
# A model of a scene on which nothing is tried; the original one is the unlearned one with its adapter switched off.
Bystander = Literal["unlearned", "original", "reference"]

# What is asked of an item under attack. Both are largest where most is remembered.
LEAKS = {name: METRICS[name] for name in ("extraction_strength", "exact_memorization")}

# A token that passes forward and backward costs three times one that passes forward.
BACKWARD_COST = 3

NO_REFERENCE = "no reference model was given"
NO_MEMORY = "the device has too little memory for it"


class NoAttackError(Exception):
    """The attack cannot be made, or its outcome means nothing. The message says why and goes into the report."""


@dataclass(frozen=True)
class AttackScene:
    """The unlearned model, what it should have forgotten, and what an attacker may have besides.

    Raises:
        ValueError: two forget items have the same id, so their results could not be told apart.
    """

    base: BaseModel  # with the adapter attached
    adapter: Adapter
    encode: ItemEncoder
    forget: Sequence[AnyItem]
    neighbours: Sequence[AnyItem] = ()  # of the kind of the forget items, and none of them
    benign: Sequence[AnyItem] = ()  # about nothing in particular
    holdout: Sequence[AnyItem] = ()  # of the kind of the forget items, and never seen by any model
    shots: Sequence[PairItem | FactItem] = ()  # to be shown in a prompt
    reference: PreTrainedModel | None = None  # one that never saw the forget items, with the same tokenizer
    no_reference: str = NO_REFERENCE  # why there is none, where there is none

    _plain: dict[tuple[Bystander, Example], MeasuredItem] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse ids that are there twice."""
        if len({str(item.id) for item in self.forget}) < len(self.forget):
            raise ValueError("two forget items have the same id: give each its own")

    @property
    def model(self) -> PreTrainedModel:
        """The unlearned model."""
        return self.base.model

    @property
    def num_models(self) -> int:
        """How many models an attack is made on."""
        return 1 if self.reference is None else 2

    def plain_leak(self, bystander: Bystander, examples: Sequence[Example]) -> AttackOutcome:
        """Return what the items leak without any attack.

        Attacks and their variants ask for much the same, so the scene keeps what it has measured.
        """
        new = [example for example in dict.fromkeys(examples) if (bystander, example) not in self._plain]
        if new:
            with self._as_it_is(bystander) as model:
                measured = evaluate(model, new, pad_id=self.base.pad_id, metrics=LEAKS).items
            self._plain.update({(bystander, example): item for example, item in zip(new, measured, strict=True)})
        return _leaked([self._plain[bystander, example] for example in examples])

    @contextmanager
    def _as_it_is(self, bystander: Bystander) -> Iterator[PreTrainedModel]:
        match bystander:
            case "unlearned":
                yield self.model
            case "original":
                with self.adapter.disabled():
                    yield self.model
            case "reference":
                if self.reference is None:
                    raise NoAttackError(self.no_reference)
                yield self.reference


class Attack(Protocol):
    """Something that an attacker who has the model does to get forgotten items back, within a budget."""

    @property
    def budget(self) -> "DataclassInstance":
        """What may be spent: frozen, with a default for everything."""

    def cost(self, scene: AttackScene) -> int:
        """Return about how many tokens pass forward through the model, or what costs as much as that.

        A token that passes forward and backward counts three times. No model is run to tell.
        """

    def __call__(self, scene: AttackScene) -> list[AttackResult]:
        """Return what came of each variant of the attack; the models of the scene are afterwards as they were."""


def result_of(name: str, variant: str, make: Callable[[], AttackResult]) -> AttackResult:
    """Return what came of a variant, or why it could not be made: no attack costs a job its finished adapter."""
    try:
        with attempted():
            return make()
    except NoAttackError as error:
        return AttackResult(name=name, variant=variant, absent=str(error))


def on_reference(
    scene: AttackScene, attack: Callable[[PreTrainedModel], AttackOutcome]
) -> tuple[AttackOutcome | None, dict[str, str]]:
    """Return what the same attack gets out of the reference model, or None and the reason, as ``missing`` has it."""
    if scene.reference is None:
        return None, {"reference": scene.no_reference}
    try:
        with attempted():
            return attack(scene.reference), {}
    except NoAttackError as error:
        return None, {"reference": str(error)}


@contextmanager
def attempted() -> Iterator[None]:
    """Within, too little memory or a computation that fails means that the attack cannot be made.

    Raises:
        NoAttackError: instead of the error of a library, whose own words might quote an item.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise NoAttackError(NO_MEMORY) from None
    except (RuntimeError, ArithmeticError, ValueError) as error:
        raise NoAttackError(f"a computation failed ({type(error).__name__})") from None


def leak(model: PreTrainedModel, examples: Sequence[Example], *, pad_id: int) -> AttackOutcome:
    """Return what the items leak under a model as it is. Examples of one id are several attempts at one item."""
    return _leaked(evaluate(model, examples, pad_id=pad_id, metrics=LEAKS).items)


def _leaked(measured: Sequence[MeasuredItem]) -> AttackOutcome:
    missing = {item.id: reason for item in measured for reason in item.absent.values()}
    return worst(((item.id, item.values) for item in measured), missing=missing)


def worst(
    attempts: Iterable[tuple[str, Mapping[str, float]]],
    *,
    missing: Mapping[str, str] | None = None,
    curve: Sequence[AttackPoint] = (),
) -> AttackOutcome:
    """Return the largest values of each item over all attempts at it, by id.

    Args:
        attempts: item ids and metrics; an attempt without values is none.
        missing: reasons, used for the items that no attempt has a value of.
        curve: passed on.
    """
    items: dict[str, dict[str, float]] = {}
    for name, values in attempts:
        if values:
            best = items.setdefault(name, dict(values))
            best.update({metric: max(best[metric], value) for metric, value in values.items()})
    metrics = dict.fromkeys(metric for values in items.values() for metric in values)
    return AttackOutcome(
        items=items,
        means={metric: fmean(values[metric] for values in items.values()) for metric in metrics},
        n=len(items),
        missing={name: reason for name, reason in (missing or {}).items() if name not in items},
        curve=list(curve),
    )


def drawn(items: Sequence[T], *, at_most: int, seed: int) -> list[T]:
    """Return at most so many of the items, in order, always the same ones for the same seed."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    return [items[place] for place in sorted(order[:at_most])]


def num_tokens(examples: Iterable[Example]) -> int:
    """Return how many tokens one pass over the examples takes, padding left out."""
    return sum(len(example.tokens) for example in examples)
