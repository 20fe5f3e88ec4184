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
        if not len(batch.scores):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        if batch.reference is None:
            raise ValueError("self-distillation learns from the base model's logits")
        lowered = torch.full_like(batch.scores.target, -self.beta, dtype=torch.float32).unsqueeze(1)
        teacher = batch.reference.float().scatter_add(1, batch.scores.target.unsqueeze(1), lowered)
        return functional.cross_entropy(batch.scores.logits.float(), teacher.softmax(dim=-1))
