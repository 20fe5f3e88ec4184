from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.evaluation.prefix_cache import prefix_cache
from core.evaluation.scored_items import MAX_BATCH_TOKENS, ItemScores, evaluating

# Keys and values that are decoded on at once. More rows make each token cheaper. For 7 billion parameters in
# bfloat16, at 0.5 MB a token (32 layers, keys and values of 4096 each), this holds 2,000 tokens.
MAX_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Prefix:
    """A prefix of an item after which the model goes astray, so what it writes from there must be decoded."""

    item: int  # place among the examples
    row: int  # row of the prefill batch that holds the item
    length: int  # number of true tokens before the first decoded one
    steps: int  # number of tokens to decode, the first included
    first: int  # the first of them, known from teacher forcing


Astray = dict[tuple[int, int], Tensor]  # (item, number of content tokens in the prefix) -> decoded tokens


def greedy_continuations(
    model: PreTrainedModel,
    examples: Sequence[Example],
    scores: Sequence[ItemScores],
    *,
    shortest: int,
    pad_id: int,
    max_cache_bytes: int = MAX_CACHE_BYTES,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[list[Tensor]]:
    """Return what the model writes after each prefix of each item, as many tokens as truly follow.

    Entry ``[e][i]`` continues the prompt and the first ``i`` of the ``m`` content tokens of example ``e`` by
    ``m - i`` greedy tokens, (m - i,) int64 on the CPU; the end of sequence is a token like others. There is one for
    each ``i`` from 0 to ``m - shortest``, so none for an item that is shorter than that.

    Decoding each prefix by itself costs ``m`` prefills and ``m^2/2`` decoded tokens an item. Three facts, all exact,
    save most of it. Where teacher forcing predicts the true token, the continuation is that token and the
    continuation of the next longer prefix, so only prefixes after which the model goes astray are decoded, and their
    first token is known. Prefixes of one item share their keys and values, so the item is run once and each prefix
    takes its part. And prefixes of all items are decoded side by side, those that are done dropping out.
    """
    needed = [_astray_places(item, shortest=shortest) for item in scores]
    decoded: Astray = {}
    with evaluating(model):
        for places in batches_by_length(examples, max_batch_tokens=max_batch_tokens):
            prefixes = [
                Prefix(
                    place, row, examples[place].first_label + i, len(scores[place]) - i, int(scores[place].predicted[i])
                )
                for row, place in enumerate(places)
                for i in needed[place]
            ]
            if prefixes:
                rows = [examples[place] for place in places]
                decoded.update(_decode_batch(model, rows, prefixes, pad_id=pad_id, max_cache_bytes=max_cache_bytes))
    return [
        _assembled(item, {i: decoded[place, i] for i in needed[place]}, shortest=shortest)
        for place, item in enumerate(scores)
    ]


def _astray_places(scores: ItemScores, *, shortest: int) -> list[int]:
    """Return the wrongly predicted places that some wanted continuation runs into, ascending."""
    wrong: list[int] = (~scores.correct).nonzero().flatten().tolist()
    last_start = len(scores) - shortest
    behind = [i for i in wrong if i > last_start]
    return [] if last_start < 0 else [i for i in wrong if i <= last_start] + behind[:1]


def _assembled(scores: ItemScores, decoded: dict[int, Tensor], *, shortest: int) -> list[Tensor]:
    """Return the item's continuations: true tokens up to the first mistake, decoded ones from there."""
    m = len(scores)
    continuations: list[Tensor] = []
    astray = sorted(decoded)
    for i in range(m - shortest + 1):
        mistake = next((place for place in astray if place >= i), None)
        tail = scores.target[i:] if mistake is None else torch.cat([scores.target[i:mistake], decoded[mistake]])
        continuations.append(tail)
    return continuations


def _decode_batch(
    model: PreTrainedModel,
    examples: Sequence[Example],
    prefixes: list[Prefix],
    *,
    pad_id: int,
    max_cache_bytes: int,
) -> Astray:
    """Run the examples once and decode their prefixes, as many at a time as the budget holds."""
    batch = collate(examples, pad_id=pad_id).to(model.device)
    full = DynamicCache()
    backbone = getattr(model, model.base_model_prefix)
    backbone(input_ids=batch.input_ids, attention_mask=batch.attention_mask, past_key_values=full, use_cache=True)
    first_label = [example.first_label for example in examples]
    decoded: Astray = {}
    for group in _groups(prefixes, max_tokens=max_cache_bytes // _bytes_per_token(full)):
        for prefix, tokens in zip(group, _decode(model, full, group), strict=True):
            decoded[prefix.item, prefix.length - first_label[prefix.row]] = tokens
    return decoded


def _bytes_per_token(cache: DynamicCache) -> int:
    size = 0
    for layer in cache.layers:
        for states in (layer.keys, layer.values):  # each (B, heads, T, head size)
            size += states.shape[1] * states.shape[3] * states.element_size()
    return size


def _groups(prefixes: list[Prefix], *, max_tokens: int) -> Iterator[list[Prefix]]:
    """Yield the prefixes, those with most to decode first, so that whoever is done is always at the end."""
    group: list[Prefix] = []
    longest = 0
    for prefix in sorted(prefixes, key=lambda p: (-p.steps, p.length)):
        longest = max(longest, prefix.length)
        if group and (len(group) + 1) * (longest + group[0].steps) > max_tokens:
            yield group
            group, longest = [], prefix.length
        group.append(prefix)
    yield group


def _decode(model: PreTrainedModel, full: DynamicCache, prefixes: list[Prefix]) -> list[Tensor]:
    """Return the greedy tokens of each prefix. They come sorted by ``steps``, most first."""
    backbone, head = getattr(model, model.base_model_prefix), model.get_output_embeddings()
    device = model.device
    length = torch.tensor([prefix.length for prefix in prefixes], device=device)  # (P,)
    newest = torch.tensor([prefix.first for prefix in prefixes], device=device)  # (P,)
    written = newest.new_zeros(len(prefixes), prefixes[0].steps)  # (P, S)
    written[:, 0] = newest
    rows, lengths = [prefix.row for prefix in prefixes], [prefix.length for prefix in prefixes]
    cache = prefix_cache(full, rows=rows, lengths=lengths, room=prefixes[0].steps - 1)
    live = len(prefixes)
    for step in range(1, prefixes[0].steps):
        while prefixes[live - 1].steps <= step:
            live -= 1
        # Absolute positions: the padding on the left has none, whatever its width.
        position = (length[:live] + step - 1).unsqueeze(1)  # (P', 1), of the token that is fed
        width = max(prefix.length for prefix in prefixes[:live]) + step  # of the widest row, that token included
        for layer in cache.layers:
            layer.keep(rows=live, width=width - 1)
        mask = torch.arange(width, device=device) >= width - 1 - position  # (P', width)
        hidden = backbone(
            input_ids=newest[:live].unsqueeze(1),
            attention_mask=mask.long(),
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state  # (P', 1, D)
        newest = head(hidden[:, -1]).argmax(dim=-1)
        written[:live, step] = newest
    return [row[: prefix.steps] for row, prefix in zip(written.cpu(), prefixes, strict=True)]
