"""The two models of a split: one that has read all of it, and one that has read only what is to be kept."""

from dataclasses import dataclass
from pathlib import Path

from bench.tofu.data import Protocol
from bench.tofu.measure import ModelNumbers, measure
from bench.tofu.scratch import Recipe, ensure_model, tokenizer_of
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.item_set import with_ids
from core.domain.items import PairItem
from core.modeling.base_model import choose_device, load_base_model, weights_digest
from core.modeling.inspect import inspect_base_model

_JOIN = TextFormat(separator=" ")


@dataclass(frozen=True)
class Models:
    """Where the models are; both read the same tokens."""

    full: Path
    reference: Path | None  # None: none was given


def scratch_models(cache: Path, everything: list[PairItem], protocol: Protocol, recipe: Recipe) -> Models:
    """Return both models of a split, after training those that are not kept from before.

    The tokenizer is made of every row, left-out authors included: were names that no model has read cut into smaller
    pieces than the others, membership would be told by that.
    """
    tokenizer = tokenizer_of(everything)
    forget, retain = list(protocol.forget), list(protocol.retain)
    return Models(
        full=ensure_model(cache, retain + forget, tokenizer, recipe, _JOIN),
        reference=ensure_model(cache, retain, tokenizer, recipe, _JOIN),
    )


def digest(path: Path) -> str:
    """Return what a model is told from others by."""
    return weights_digest(path)[:20]


def measured_model(path: Path, models: Models, protocol: Protocol) -> ModelNumbers:
    """Return the numbers of a model as it is, read in the text format of the full model."""
    text_format = inspect_base_model(str(models.full), None, with_ids(protocol.retain)).text_format
    base = load_base_model(path, device=choose_device("auto"))
    return measure(base.model, base, ItemEncoder(base.tokenizer, text_format, base.max_tokens), protocol)
