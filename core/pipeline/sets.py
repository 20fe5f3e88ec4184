import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from core.data.corpus import AnyItem, Example, ItemEncoder
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import TextItem, normalized
from core.domain.options import TrainedOptions
from core.modeling.base_model import BaseModel
from core.pipeline.task import RunTask

# Retain rows set aside for measuring: enough for a mean to the percent, never more than a fifth of the set.
MAX_UNSEEN = 128
UNSEEN_SHARE = 0.2
SMALLEST_SPLIT = 20


@dataclass(frozen=True)
class EncodedSets:
    """The sets of a job as the model reads them, and what was left out of them."""

    forget: list[Example]
    retain_trained: list[Example]
    retain_measured: list[Example]
    holdout: list[Example] | None
    forget_items: Sequence[AnyItem]
    retain_items: Sequence[AnyItem]  # behind retain_measured
    holdout_items: Sequence[AnyItem]
    measures_unseen: bool  # whether the measured retain rows are kept out of training and of the Fisher information
    excluded_retain: int
    excluded_holdout: int
    duplicate_retain: int


def encode_sets(task: RunTask, base: BaseModel, generated: Sequence[TextItem] = ()) -> EncodedSets:
    """Encode the items and set some retain rows aside.

    Utility is measured on rows that training does not see, because rows that it repairs at every step say nothing
    about those that it does not. A retain set too small to be split, or of which only rows set aside are left, is
    measured as it is; the report says so, and the verdict asks the holdout set besides. Left out are retain rows that
    are there twice or that the request asks to forget, and holdout rows that are in one of the other sets: a text that
    training sees cannot stand for text that nobody saw.

    Args:
        task: names the items.
        base: reads them.
        generated: what stands in for a retain set or a general corpus that there is none of.

    Raises:
        UnsupportedBaseModelError: an item does not fit the model, or no retain row is left.
    """
    encode = encoder_of(task, base)
    forgotten = {normalized(item) for item in task.forget.items}
    retain = generated if task.retain is None else task.retain.items
    distinct = {normalized(item): item for item in reversed(retain)}  # the first of equals stays
    aside = _set_aside(distinct)
    kept = {key: item for key, item in distinct.items() if key not in forgotten}
    trained = [item for key, item in kept.items() if key not in aside]
    measured = [item for key, item in kept.items() if key in aside]
    excluded = len(distinct) - len(kept)
    if keeps_on_general_corpus(task):
        general = generated if task.general is None else task.general.items
        trained = [item for item in general if normalized(item) not in forgotten | aside]
        excluded += sum(normalized(item) in forgotten for item in general)
    elif not trained:
        trained, measured = measured, []  # the rows set aside are all that is left to keep, so they are trained on
    if not trained:
        raise UnsupportedBaseModelError("every retain item is also asked to be forgotten: nothing is left to retain")
    holdout = _holdout(task, forgotten | set(distinct))
    measured_items = measured or list(kept.values()) or trained
    return EncodedSets(
        forget=encode(task.forget.items),
        retain_trained=encode(trained),
        retain_measured=encode(measured_items),
        holdout=None if holdout is None else encode(holdout),
        forget_items=task.forget.items,
        retain_items=measured_items,
        holdout_items=holdout or (),
        measures_unseen=bool(measured),
        excluded_retain=excluded,
        excluded_holdout=0 if holdout is None or task.holdout is None else len(task.holdout.items) - len(holdout),
        duplicate_retain=len(retain) - len(distinct),
    )


def encoder_of(task: RunTask, base: BaseModel) -> ItemEncoder:
    """Return what turns the job's items into examples."""
    return ItemEncoder(base.tokenizer, task.base_model.text_format, base.max_tokens)


def keeps_on_general_corpus(task: RunTask) -> bool:
    """Whether training keeps what the model knows by texts about nothing in particular."""
    method = task.spec.method
    return isinstance(method, TrainedOptions) and method.retain_corpus == "general"


def _set_aside(retain: dict[str, AnyItem]) -> set[str]:
    """Return which rows are measured and not trained on.

    By a digest of each row, so that it is the same rows in every job of a base model: their retain Fisher is shared and
    their utilities compare, also when a request takes a row out.
    """
    if len(retain) < SMALLEST_SPLIT:
        return set()
    in_order = sorted(retain, key=lambda key: hashlib.sha256(key.encode()).digest())
    return set(in_order[: min(MAX_UNSEEN, int(UNSEEN_SHARE * len(retain)))])


def _holdout(task: RunTask, others: set[str]) -> Sequence[AnyItem] | None:
    if task.holdout is None:
        return None
    return [item for item in task.holdout.items if normalized(item) not in others]
