from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor

from core.data.corpus import Example


@dataclass(frozen=True)
class Batch:
    """Examples laid out in lines of equal width, and the places at which they are scored.

    A causal model predicts token ``t`` from the hidden state at ``t - 1``; ``position`` already holds that ``t - 1``,
    so nobody downstream shifts anything, and prompts and padding simply do not occur among the places. Places come
    example by example, however the examples are laid out.
    """

    input_ids: Tensor  # (B, T) int64
    attention_mask: Tensor  # (B, T) int64, 0 at padding
    row: Tensor  # (N,) int64, which example the label belongs to
    line: Tensor  # (N,) int64, the line that holds it; equal to row unless lines are packed
    position: Tensor  # (N,) int64, the place in the line whose hidden state predicts it
    target: Tensor  # (N,) int64, the label
    content: Tensor  # (N,) bool, False for the format's trailing tokens
    position_ids: Tensor | None = None  # (B, T) int64, of packed lines: counted from 0 in each example

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        parts = {name: part for name, part in vars(self).items() if part is not None}
        return Batch(**{name: part.to(device, non_blocking=True) for name, part in parts.items()})


def collate(examples: Sequence[Example], *, pad_id: int) -> Batch:
    """Return the examples as one batch, each a line, padded on the right to the longest of them."""
    return _laid_out(examples, [(line, 0) for line in range(len(examples))], pad_id=pad_id)


def pack(examples: Sequence[Example], *, pad_id: int, attention_width: float, max_width: int) -> Batch:
    """Return the examples as one batch of packed lines: several in a line, with little padding.

    The model must keep examples of a line apart by their position ids; :func:`core.modeling.packing.can_pack` tells.
    Longer lines hold less padding and cost more attention. Taken is the number of lines for which
    ``tokens * (1 + width / attention_width)`` is least, after each example has gone to the line that is emptiest,
    longest first.

    Args:
        examples: at least one, none longer than ``max_width``.
        pad_id: fills the ends of lines.
        attention_width: tokens in a line at which attention costs as much as everything else in a layer.
        max_width: the longest line that the model reads.
    """
    lengths = [len(example.tokens) for example in examples]
    layouts = [_balanced(lengths, count) for count in range(1, len(lengths) + 1)]
    widths = [max(start + length for (_, start), length in zip(places, lengths, strict=True)) for places in layouts]
    costs = [
        ((index + 1) * width * (1 + width / attention_width), index)
        for index, width in enumerate(widths)
        if width <= max_width
    ]
    return _laid_out(examples, layouts[min(costs)[1]], pad_id=pad_id, packed=True)


def _balanced(lengths: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return for each length the line that it goes to and where it starts there."""
    fill = [0] * count
    places = [(0, 0)] * len(lengths)
    for at, length in sorted(enumerate(lengths), key=itemgetter(1), reverse=True):
        line = fill.index(min(fill))
        places[at] = (line, fill[line])
        fill[line] += length
    return places


def _laid_out(
    examples: Sequence[Example], places: Sequence[tuple[int, int]], *, pad_id: int, packed: bool = False
) -> Batch:
    """Return the batch that has each example in this line, from this place on."""
    width = max(start + len(example.tokens) for (_, start), example in zip(places, examples, strict=True))
    count = 1 + max(line for line, _ in places)
    input_ids = torch.full((count, width), pad_id)
    attention_mask = torch.zeros((count, width), dtype=torch.long)
    position_ids = torch.zeros((count, width), dtype=torch.long)  # padding stays 0, so each pad stands by itself
    labels: list[tuple[int, int, int, int, bool]] = []
    for row, ((line, start), example) in enumerate(zip(places, examples, strict=True)):
        length = len(example.tokens)
        input_ids[line, start : start + length] = torch.tensor(example.tokens)
        attention_mask[line, start : start + length] = 1
        position_ids[line, start : start + length] = torch.arange(length)
        last_content = length - example.num_trailing
        labels += [
            (row, line, start + at - 1, example.tokens[at], at < last_content)
            for at in range(example.first_label, length)
        ]
    row_of, line_of, position, target, content = zip(*labels, strict=True)
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        row=torch.tensor(row_of),
        line=torch.tensor(line_of),
        position=torch.tensor(position),
        target=torch.tensor(target),
        content=torch.tensor(content),
        position_ids=position_ids if packed else None,
    )
