from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from core.evaluation.prefix_cache import prefix_cache

# Keys and values that are decoded on at once. More rows make each token cheaper. For 7 billion parameters in
# bfloat16, at 0.5 MB a token (32 layers, keys and values of 4096 each), this holds 2,000 tokens.
MAX_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Prefix:
    """A prefix of an item from which the model writes on by itself."""

    item: int  # place among the examples
    row: int  # row of the prefill batch that holds the item
    length: int  # number of true tokens before the first decoded one
    steps: int  # number of tokens to decode, the first included
    first: int  # the first of them, known from the pass over the prefix


# The next tokens (P',), from their logits (P', V) and the number of the step, which counts from 1.
Choice: TypeAlias = Callable[[Tensor, int], Tensor]


def bytes_per_token(cache: DynamicCache) -> int:
    """Return what one more token takes in all layers of a cache."""
    size = 0
    for layer in cache.layers:
        for states in (layer.keys, layer.values):  # each (B, heads, T, head size)
            size += states.shape[1] * states.shape[3] * states.element_size()
    return size


def groups(prefixes: list[Prefix], *, max_tokens: int) -> Iterator[list[Prefix]]:
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


def decode(model: PreTrainedModel, full: DynamicCache, prefixes: Sequence[Prefix], choose: Choice) -> list[Tensor]:
    """Return the tokens that follow each prefix, (steps,) int64 on the CPU.

    Args:
        model: in evaluation mode.
        full: keys and values of the rows that the prefixes are part of; not changed.
        prefixes: one of :func:`groups`, so sorted by ``steps``, most first.
        choose: given the logits (P', V) of those not done yet, which are the first P', and the number of the step.
    """
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
        newest = choose(head(hidden[:, -1]), step)
        written[:live, step] = newest
    return [row[: prefix.steps] for row, prefix in zip(written.cpu(), prefixes, strict=True)]
