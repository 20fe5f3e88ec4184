from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class SelfDistillation:
    """Cross-entropy against the base model's own prediction with the true token's logit lowered (UNDIAL)."""

    beta: float = 10.0
    needs: ClassVar[Needs] = Needs(reference=True)

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean cross-entropy against ``softmax(z_base - beta onehot(y))``, in nats, not negative.

        The target is fixed, so the loss has a minimum and stays there. Answer places alone are averaged; the published
        code averages over prompts and padding as well.

        References:
            Dong et al., NAACL 2025, https://arxiv.org/abs/2402.10052, equation 3.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each_against_base(self._place).mean()

    def _place(self, logits: Tensor, base: Tensor, target: Tensor) -> Tensor:
        lowered = torch.full_like(target, -self.beta, dtype=torch.float32).unsqueeze(1)
        teacher = base.scatter_add(1, target.unsqueeze(1), lowered)  # (n, V)
        return functional.cross_entropy(logits, teacher.softmax(dim=-1), reduction="none")
