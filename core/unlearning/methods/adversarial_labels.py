from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class AdversarialLabels:
    """Cross-entropy against the token that the base model finds likeliest after the true one."""

    needs: ClassVar[Needs] = Needs(reference=True)

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean cross-entropy against ``argmax_{v != y} p_base(v)`` at each place, in nats, not negative.

        The label of a place comes from the base model's prediction of that very place. The published code takes it
        from the place after, where the token that it excludes is not the true one.

        References:
            Yao et al., ACL 2024, https://arxiv.org/abs/2402.15159, section 3 (unlearning with adversarial samples).
        """
        if not len(batch.scores):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        if batch.reference is None:
            raise ValueError("adversarial labels come from the base model's logits")
        rivals = batch.reference.scatter(1, batch.scores.target.unsqueeze(1), -torch.inf)
        return functional.cross_entropy(batch.scores.logits.float(), rivals.argmax(dim=-1))
