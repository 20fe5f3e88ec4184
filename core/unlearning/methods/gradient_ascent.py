from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import nll
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class GradientAscent:
    """Forget loss that lowers the likelihood of the true tokens without end (GA)."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return minus the mean cross-entropy at the answer places, in nats: unbounded below.

        Its gradient does not vanish as the true token's probability does, and it raises every other token, so
        only a stop check ends it; the options of the methods that use it refuse to go without.

        References:
            Jang et al., ACL 2023, https://arxiv.org/abs/2210.01504, equation 1.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return -batch.states.each(nll).mean()
