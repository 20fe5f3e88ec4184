from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.evaluation.decoding import MAX_CACHE_BYTES, Prefix, bytes_per_token, decode, groups
from core.evaluation.scored_items import MAX_BATCH_TOKENS, ItemScores, evaluating

Astray = dict[tuple[int, int], Tensor]  # (item, number of content tokens in the prefix) -> decoded tokens


def greedy_continuations(
    model: PreTrainedModel,
    examples: Sequence[Example],
    scores: Sequence[ItemScores],
    *,
    shortest: int | None,
    pad_id: int,
    max_cache_bytes: int = MAX_CACHE_BYTES,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[list[Tensor]]:
    """Return what the model writes after each prefix of each item, as many tokens as truly follow.

    Entry ``[e][i]`` continues the prompt and the first ``i`` of the ``m`` content tokens of example ``e`` by
    ``m - i`` greedy tokens, (m - i,) int64 on the CPU; the end of sequence is a token like others. There is one for
    each ``i`` from 0 to ``m - shortest``, so none for a shorter item. Where ``shortest`` is None only
    the prompt is continued, which decodes ``m`` tokens at most.

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


def num_continued(num_tokens: int, *, shortest: int) -> int:
    """Return how many tokens are decoded at most to continue the prefixes of an item of so many content tokens.

    All of them where every prediction is wrong, ``m + (m - 1) + ... + shortest``; none where each is right.
    """
    starts = num_tokens - shortest + 1
    return starts * (num_tokens + shortest) // 2 if starts > 0 else 0


def _last_start(scores: ItemScores, *, shortest: int | None) -> int:
    """Return the number of content tokens in the longest prefix that is continued, negative where there is none."""
    return 0 if shortest is None else len(scores) - shortest


def _astray_places(scores: ItemScores, *, shortest: int | None) -> list[int]:
    """Return the wrongly predicted places that some wanted continuation runs into, ascending."""
    wrong: list[int] = (~scores.correct).nonzero().flatten().tolist()
    last_start = _last_start(scores, shortest=shortest)
    behind = [i for i in wrong if i > last_start]
    return [] if last_start < 0 else [i for i in wrong if i <= last_start] + behind[:1]


def _assembled(scores: ItemScores, decoded: dict[int, Tensor], *, shortest: int | None) -> list[Tensor]:
    """Return the item's continuations: true tokens up to the first mistake, decoded ones from there."""
    continuations: list[Tensor] = []
    astray = sorted(decoded)
    for i in range(_last_start(scores, shortest=shortest) + 1):
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
    for group in groups(prefixes, max_tokens=max_cache_bytes // bytes_per_token(full)):
        for prefix, tokens in zip(group, decode(model, full, group, _most_probable), strict=True):
            decoded[prefix.item, prefix.length - first_label[prefix.row]] = tokens
    return decoded


def _most_probable(logits: Tensor, step: int) -> Tensor:
    del step
    return logits.argmax(dim=-1)
