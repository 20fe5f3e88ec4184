from collections.abc import Sequence

import torch

from core.data.corpus import Example

# Batches whose rows are sorted together: enough to find rows of like length, few enough to stay random.
BUCKET = 8


def batches_by_length(examples: Sequence[Example], *, max_batch_tokens: int) -> list[list[int]]:
    """Return the places of the examples in batches of like length, each at most this many tokens after padding.

    For passes in which order does not matter: the longest rows come first, so that a memory limit shows at once.
    """
    order = sorted(range(len(examples)), key=lambda place: -len(examples[place].tokens))
    batches: list[list[int]] = []
    for place in order:
        width = len(examples[batches[-1][0]].tokens) if batches else 0
        if batches and (len(batches[-1]) + 1) * width <= max_batch_tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def training_batch(examples: Sequence[Example], *, batch_size: int, step: int, seed: int) -> list[int]:
    """Return the places of the rows of one training step.

    A pure function of seed and step, so a resumed run continues with the very batches that it would have seen.
    Each epoch is a fresh permutation; within stretches of ``BUCKET`` batches rows are grouped by length, which saves
    most of the padding. A last short batch is filled from the start of the permutation.
    """
    size = min(batch_size, len(examples))
    per_epoch = -(-len(examples) // size)
    epoch, place = divmod(step, per_epoch)
    return _epoch(examples, size=size, per_epoch=per_epoch, seed=seed * 1_000_003 + epoch)[place]


def _epoch(examples: Sequence[Example], *, size: int, per_epoch: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = torch.randperm(len(examples), generator=generator).tolist()
    order += order[: per_epoch * size - len(order)]
    stretches = [order[start : start + size * BUCKET] for start in range(0, len(order), size * BUCKET)]
    grouped = [place for stretch in stretches for place in sorted(stretch, key=lambda at: len(examples[at].tokens))]
    batches = [grouped[start : start + size] for start in range(0, len(grouped), size)]
    shuffled: list[int] = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[at] for at in shuffled]
