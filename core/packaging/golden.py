"""A few logits of the trained model, small enough for a manifest: whoever holds a package can check it years later."""

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator
from torch import Tensor

from core.packaging.verify import Probe

# Of each probe row's last position; the largest logits are those that a served answer depends on.
LOGITS_A_ROW = 8

DtypeName = Literal["float32", "bfloat16"]
_NAMES: dict[torch.dtype, DtypeName] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


class GoldenLogits(BaseModel):
    """What the trained model says at the last position of each probe row."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    dtype: DtypeName  # of the base model that gave them
    input_ids: list[list[NonNegativeInt]]
    tokens: list[list[NonNegativeInt]]
    trained: list[list[float]]
    base: list[list[float]]
    largest: float = Field(gt=0)  # of all trained logits in absolute value: what differences are relative to

    @model_validator(mode="after")
    def _require_rectangles(self) -> Self:
        """Refuse what is no matrix: for each probe row its tokens, and as many logits of each kind."""
        shapes = [{len(row) for row in rows} for rows in (self.input_ids, self.tokens, self.trained, self.base)]
        heights = {len(rows) for rows in (self.input_ids, self.tokens, self.trained, self.base)}
        whole = len(heights) == 1 and all(len(widths) == 1 and 0 not in widths for widths in shapes)
        if not whole or not shapes[1] == shapes[2] == shapes[3]:
            raise ValueError("the golden logits are no matrices of one shape")
        return self


def golden_logits(probe: Probe) -> GoldenLogits:
    """Return the largest logits of each probe row with what the base model gives for the same tokens."""
    trained, base = probe.trained_logits[:, -1].float(), probe.base_logits[:, -1].float()  # (P, V)
    top = trained.topk(min(LOGITS_A_ROW, trained.shape[-1]), dim=-1)
    return GoldenLogits(
        dtype=_NAMES[probe.trained_logits.dtype],
        input_ids=probe.input_ids.tolist(),
        tokens=top.indices.tolist(),
        trained=top.values.tolist(),
        base=base.gather(1, top.indices).tolist(),
        largest=float(probe.trained_logits.float().abs().max()),
    )


def golden_difference(golden: GoldenLogits, logits: Tensor, expected: list[list[float]]) -> float:
    """Return the largest difference of logits (P, T, V) to the golden ones, relative to the largest logit."""
    here = logits[:, -1].float().gather(1, torch.tensor(golden.tokens))
    return float((here - torch.tensor(expected)).abs().max()) / golden.largest
