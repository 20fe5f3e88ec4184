import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class MaxEntropy:
    """Forget loss that makes predictions uniform."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean of ``log V - H(p)``, the divergence of the prediction from uniform, in ``[0, log V]`` nats.

        References:
            Yuan et al., ICLR 2025, https://arxiv.org/abs/2410.08109, equation 7.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each(_divergence_from_uniform).mean()


def _divergence_from_uniform(logits: Tensor, _: Tensor) -> Tensor:
    log_p = logits.log_softmax(dim=-1)  # (n, V)
    return math.log(log_p.shape[-1]) + (log_p.exp() * log_p).sum(dim=-1)
