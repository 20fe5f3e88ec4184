from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class CrossEntropyUnlearning:
    """Cross-entropy against the model's own prediction without the true token (CE-U)."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean cross-entropy against ``softmax(z with z_y = -inf)``, that target held constant, in nats.

        The gradient at the true token is its probability, so it vanishes where the token is forgotten: bounded steps
        without a reference model.

        References:
            Yang, 2025, https://arxiv.org/abs/2503.01224. The published code skips the first answer token; here none is
            skipped, for the first may be all that there is.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each(_without_the_true_token).mean()


def _without_the_true_token(logits: Tensor, target: Tensor) -> Tensor:
    rest = logits.detach().scatter(1, target.unsqueeze(1), -torch.inf).softmax(dim=-1)  # (n, V)
    return functional.cross_entropy(logits, rest, reduction="none")
