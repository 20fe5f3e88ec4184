from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.corpus import Example


@dataclass(frozen=True)
class Batch:
    """Right-padded rows and the places at which they are scored.

    A causal model predicts token ``t`` from the hidden state at ``t - 1``; ``position`` already holds that ``t - 1``,
    so nobody downstream shifts anything, and prompts and padding simply do not occur among the places.
    """

    input_ids: Tensor  # (B, T) int64
    attention_mask: Tensor  # (B, T) int64
    row: Tensor  # (N,) int64, which row the label belongs to
    position: Tensor  # (N,) int64, the hidden state that predicts it
    target: Tensor  # (N,) int64, the label
    content: Tensor  # (N,) bool, False for the format's trailing tokens

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


def collate(examples: Sequence[Example], *, pad_id: int) -> Batch:
    """Return the examples as one batch, padded on the right to the longest of them."""
    width = max(len(example.tokens) for example in examples)
    input_ids = torch.full((len(examples), width), pad_id)
    attention_mask = torch.zeros((len(examples), width), dtype=torch.long)
    places: list[tuple[int, int, int, bool]] = []
    for row, example in enumerate(examples):
        length = len(example.tokens)
        input_ids[row, :length] = torch.tensor(example.tokens)
        attention_mask[row, :length] = 1
        last_content = length - example.num_trailing
        places += [(row, at - 1, example.tokens[at], at < last_content) for at in range(example.first_label, length)]
    row_of, position, target, content = zip(*places, strict=True)
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        row=torch.tensor(row_of),
        position=torch.tensor(position),
        target=torch.tensor(target),
        content=torch.tensor(content),
    )
