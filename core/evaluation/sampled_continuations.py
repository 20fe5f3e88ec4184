from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.evaluation.decoding import MAX_CACHE_BYTES, Prefix, bytes_per_token, decode, groups
from core.evaluation.scored_items import MAX_BATCH_TOKENS, evaluating


class NotFiniteError(Exception):
    """The model's scores are no distribution to draw from."""


def sampled_continuations(
    model: PreTrainedModel,
    examples: Sequence[Example],
    *,
    samples: int,
    seed: int,
    pad_id: int,
    max_cache_bytes: int = MAX_CACHE_BYTES,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[Tensor]:
    """Return what the model writes behind each prompt at temperature 1, as many tokens as truly follow.

    Entry ``e`` holds ``samples`` continuations of the prompt of example ``e`` by its ``m`` content tokens, (samples, m)
    int64 on the CPU; the end of sequence is a token like others.

    Each example has its own generator, whose uniform numbers are turned into tokens by the inverse of the cumulative
    distribution. So draws depend on the seed and the place of the example and on nothing else: not on the global
    generator, which is left alone, nor on how rows are batched, and on the device for rounding only.

    Raises:
        NotFiniteError: some scores are not finite numbers.
    """
    drawn: dict[int, Tensor] = {}
    with evaluating(model):
        for places in batches_by_length(examples, max_batch_tokens=max_batch_tokens):
            rows = [examples[place] for place in places]
            uniform = [
                _uniform(row, samples=samples, seed=seed, place=at) for row, at in zip(rows, places, strict=True)
            ]
            found = _sample_batch(model, rows, uniform, pad_id=pad_id, max_cache_bytes=max_cache_bytes)
            drawn.update(zip(places, found, strict=True))
    return [drawn[place] for place in range(len(examples))]


def drawn_tokens(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return the tokens (P,) that uniform numbers (P,) in [0, 1) select from the distributions of logits (P, V).

    In float64: over a vocabulary of 150,000 a sum in float32 would round rare tokens away.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)  # (P, V)
    total = cumulative[:, -1:]
    if not torch.isfinite(total).all():
        raise NotFiniteError
    found = torch.searchsorted(cumulative, uniform.to(logits.device).unsqueeze(1) * total, right=True)
    return found.squeeze(1).clamp_max(logits.shape[1] - 1)


def _uniform(example: Example, *, samples: int, seed: int, place: int) -> Tensor:
    """Return one number for each token to draw, (samples, m) float64."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + place)
    return torch.rand(samples, len(example.answer), generator=generator, dtype=torch.float64)


def _sample_batch(
    model: PreTrainedModel,
    examples: Sequence[Example],
    uniform: Sequence[Tensor],
    *,
    pad_id: int,
    max_cache_bytes: int,
) -> list[Tensor]:
    """Run the prompts once and decode all their samples, as many side by side as the budget holds."""
    batch = collate(examples, pad_id=pad_id).to(model.device)
    full = DynamicCache()
    backbone = getattr(model, model.base_model_prefix)
    hidden = backbone(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, past_key_values=full, use_cache=True
    ).last_hidden_state  # (B, T, D)
    drawn = [numbers.new_zeros(numbers.shape, dtype=torch.long) for numbers in uniform]
    prefixes = []
    for row, example in enumerate(examples):
        logits = model.get_output_embeddings()(hidden[row, example.first_label - 1])  # (V,), of the first token
        first = drawn_tokens(logits.expand(len(uniform[row]), -1), uniform[row][:, 0])
        prefixes += [
            Prefix(row * len(first) + sample, row, example.first_label, len(example.answer), token)
            for sample, token in enumerate(first.tolist())
        ]
    for group in groups(prefixes, max_tokens=max_cache_bytes // bytes_per_token(full)):
        choose = partial(_choose, _numbers_of(group, uniform))
        for prefix, tokens in zip(group, decode(model, full, group, choose), strict=True):
            drawn[prefix.row][prefix.item % len(drawn[prefix.row])] = tokens
    return drawn


def _numbers_of(group: Sequence[Prefix], uniform: Sequence[Tensor]) -> Tensor:
    """Return the uniform numbers of some samples, (P, S), the shorter ones filled up with zeros."""
    rows = [uniform[prefix.row][prefix.item % len(uniform[prefix.row])] for prefix in group]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _choose(numbers: Tensor, logits: Tensor, step: int) -> Tensor:
    return drawn_tokens(logits, numbers[: len(logits), step])
