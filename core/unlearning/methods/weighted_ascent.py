from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import nll
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class WeightedAscent:
    """Gradient ascent with a weight for each token that depends on its probability (WGA, SatImp)."""

    saturation: float  # exponent of p
    importance: float = 0.0  # exponent of 1 - p
    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return minus the mean over answer places of ``p^a (1 - p)^b`` times the cross-entropy, the weight a constant.

        With ``a > 0`` a token whose probability has gone is left alone; with ``b > 0`` one that is certain gets less
        than one that is in between. WGA is ``b = 0``. The weight carries no gradient.

        References:
            Wang et al., ICLR 2025, https://arxiv.org/abs/2502.19301 (WGA); Yang et al., ICML 2025,
            https://arxiv.org/abs/2505.11953 (SatImp).
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        costs = batch.states.each(nll)  # (N,)
        p = (-costs.detach()).exp()
        return -(p**self.saturation * (1 - p).clamp_min(0.0) ** self.importance * costs).mean()
