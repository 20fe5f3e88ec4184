from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import nll
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
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each_against_base(_best_wrong_token).mean()


def _best_wrong_token(logits: Tensor, base: Tensor, target: Tensor) -> Tensor:
    rivals = base.scatter(1, target.unsqueeze(1), -torch.inf)  # (n, V)
    return nll(logits, rivals.argmax(dim=-1))
