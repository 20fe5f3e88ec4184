from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import TokenStates, nll
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class NegativePreference:
    """Forget loss that treats each text as the losing half of a preference (NPO)."""

    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(reference=True)

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean over rows of ``-2/beta log sigmoid(beta (NLL - NLL_base))``, not negative.

        ``NLL`` is the sum over a row's answer tokens, in nats. Where a row is already unlikely, the sigmoid saturates
        and its gradient fades, so it diverges far more slowly than gradient ascent, its limit for small beta.

        References:
            Zhang et al., COLM 2024, https://arxiv.org/abs/2404.05868, equation 3.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        advantage = _row_sums(batch.states.each_against_base(_advantage), batch.states)
        return -2 / self.beta * functional.logsigmoid(self.beta * advantage).mean()


def _advantage(logits: Tensor, base: Tensor, target: Tensor) -> Tensor:
    return nll(logits, target) - nll(base, target)


def _row_sums(values: Tensor, states: TokenStates) -> Tensor:
    """Return the sum over each row's places, rows without any left out."""
    _, row = states.row.unique(return_inverse=True)
    return values.new_zeros(int(row.max()) + 1).index_add(0, row, values)
