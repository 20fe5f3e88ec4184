from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class FlatLogits:
    """Forget loss that pulls the largest logit down to the mean, as primal-dual unlearning does (PDU)."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean over answer places of ``(max_v z - mean_v z)^2``, not negative; 0 when all logits are equal.

        The other half of the method, a retain loss that must stay under a bound, is the option ``retain_bound``.

        References:
            Entesari et al., NeurIPS 2025, https://arxiv.org/abs/2506.05314.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each(_squared_rise).mean()


def _squared_rise(logits: Tensor, _: Tensor) -> Tensor:
    return (logits.amax(dim=-1) - logits.mean(dim=-1)).square()  # (n,)
