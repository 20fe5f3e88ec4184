"""What must be known about a base model before requests may name it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import AnyItem, ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem
from core.modeling.adapter import target_linears
from core.modeling.base_model import BaseModel, architecture_of, choose_device, load_base_model, locate, weights_digest
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import score

# Enough pairs to tell formats apart by whole nats, few enough to take a second.
_PAIRS = 32
_SEPARATORS = (" ", "\n", "")


@dataclass(frozen=True)
class Inspection:
    """The facts that registration stores."""

    path: Path
    weights_sha256: str
    architecture: str
    num_parameters: int
    num_layers: int | None
    linear_names: tuple[str, ...]
    linear_features: tuple[int, ...]  # inputs plus outputs of each
    vocab_size: int
    hidden_size: int
    max_tokens: int
    num_readable_tokens: int  # of the tokenizer's, how many the model has embeddings for
    text_format: TextFormat
    num_tokens: tuple[int, ...]  # of each item that the model is registered with
    tokenizer_json: bytes


def inspect_base_model(source: str, revision: str | None, retain: Sequence[AnyItem]) -> Inspection:
    """Load the base model once, as a job would, and return what was found.

    Args:
        source: a directory or a hub id.
        revision: the commit of a hub id.
        retain: the items the model is registered with, of all its sets; its pairs decide the text format.

    Raises:
        UnsupportedBaseModelError: a job could not use this model, or an item does not fit it.
    """
    path = locate(source, revision)
    base = load_base_model(path, device=choose_device("auto"))
    text_format = measure_text_format(base, retain)
    examples = ItemEncoder(base.tokenizer, text_format, base.max_tokens)(retain)
    layers = _decoder_layers(base.model)
    names = linear_names(base.model)
    vocab_size, hidden_size = base.model.get_output_embeddings().weight.shape
    return Inspection(
        path=path,
        weights_sha256=weights_digest(path),
        architecture=architecture_of(path),
        num_parameters=sum(parameter.numel() for parameter in base.model.parameters()),
        num_layers=None if layers is None else len(layers),
        linear_names=names,
        linear_features=_features(base.model, names),
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        max_tokens=base.max_tokens,
        num_readable_tokens=_num_readable_tokens(base),
        text_format=text_format,
        num_tokens=tuple(len(example.tokens) for example in examples),
        tokenizer_json=base.tokenizer.backend_tokenizer.to_str().encode(),
    )


def linear_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of the linear layers that an adapter may target, sorted.

    A name that is the same in every decoder layer is there once, with ``*`` in place of the layer's number: a model of
    hundreds of linear layers has a handful of such names.
    """
    names = set(target_linears(model, "all-linear"))
    layers = _decoder_layers(model)
    if layers is None:
        return tuple(sorted(names))
    prefix = next(name for name, module in model.named_modules() if module is layers)
    first = f"{prefix}.0."
    for rest in [name.removeprefix(first) for name in names if name.startswith(first)]:
        alike = {f"{prefix}.{layer}.{rest}" for layer in range(len(layers))}
        if alike <= names:
            names = names - alike | {f"{prefix}.*.{rest}"}
    return tuple(sorted(names))


def _features(model: PreTrainedModel, names: Sequence[str]) -> tuple[int, ...]:
    """Return inputs plus outputs of each of these linear layers; layers of one name are alike, so the first counts."""
    linears = target_linears(model, "all-linear")
    return tuple(sum(linears[name.replace("*", "0")].weight.shape) for name in names)


def _num_readable_tokens(base: BaseModel) -> int:
    """Return one more than the largest token id that the tokenizer may write and the model has an embedding for."""
    num_embeddings = int(base.model.get_input_embeddings().num_embeddings)
    largest = int(max(base.tokenizer.get_vocab().values()))
    return min(num_embeddings, largest + 1)


def _decoder_layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """Return the decoder layers, None where they cannot be told: only some methods ask for one of them."""
    try:
        return decoder_layers(model)
    except UnsupportedBaseModelError:
        return None


def measure_text_format(base: BaseModel, items: Sequence[AnyItem]) -> TextFormat:
    """Return the format under which the model finds the completions of its own pairs most likely.

    Whether it ends its completions by itself is measured too: a model that was never taught to would otherwise be
    trained to, at the expense of what it should keep. Without pairs nothing is measured, and the format says so.

    Raises:
        UnsupportedBaseModelError: no format can hold the pairs. One that cannot, such as a chat template that changes
            a reply, is merely no candidate.
    """
    pairs = [item for item in items if not isinstance(item, TextItem)][:_PAIRS]
    if not pairs:
        return TextFormat()
    formats = [TextFormat(separator=separator, measured=True) for separator in _SEPARATORS]
    if base.tokenizer.chat_template:
        formats.append(TextFormat(join="chat_template", measured=True))
    best, (_, ending) = max(_candidates(base, pairs, formats), key=lambda candidate: candidate[1][0])
    measured = {"ends_with_eos": ending > 0.5, "template_tokens": _template_tokens(base, pairs, best)}
    return best.model_copy(update=measured)


def _template_tokens(base: BaseModel, pairs: Sequence[PairItem | FactItem], text_format: TextFormat) -> int:
    """Return the most tokens that the format's chat template writes around a pair."""
    if text_format.join != "chat_template":
        return 0
    examples = ItemEncoder(base.tokenizer, text_format, base.max_tokens)(pairs)
    bare = [base.tokenizer(f"{pair.prompt}{pair.completion}").input_ids for pair in pairs]
    return max(len(example.tokens) - len(tokens) for example, tokens in zip(examples, bare, strict=True))


def _candidates(
    base: BaseModel, pairs: Sequence[AnyItem], formats: Sequence[TextFormat]
) -> list[tuple[TextFormat, tuple[float, float]]]:
    """Return the formats that can hold the pairs, with their likelihoods; if none can, raise the first refusal."""
    candidates = []
    refusals = []
    for text_format in formats:
        try:
            candidates.append((text_format, _likelihoods(base, pairs, text_format)))
        except UnsupportedBaseModelError as refusal:
            refusals.append(refusal)
    if not candidates:
        raise refusals[0]
    return candidates


@torch.no_grad()
def _likelihoods(base: BaseModel, pairs: Sequence[AnyItem], text_format: TextFormat) -> tuple[float, float]:
    """Return the mean log-probability of a completion's token, and the mean probability of the ending after it."""
    examples = ItemEncoder(base.tokenizer, text_format, base.max_tokens)(pairs)
    content: list[float] = []
    ending: list[float] = []
    for places in batches_by_length(examples, max_batch_tokens=4096):
        batch = collate([examples[place] for place in places], pad_id=base.pad_id).to(base.device)
        scores = score(base.model, batch)
        log_prob = -functional.cross_entropy(scores.logits.float(), scores.target, reduction="none")
        content += log_prob[scores.content].tolist()
        ending += log_prob[~scores.content].exp().tolist()
    return fmean(content), fmean(ending) if ending else 0.0
