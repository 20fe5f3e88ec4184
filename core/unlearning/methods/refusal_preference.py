from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import TokenStates, nll
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class RefusalPreference:
    """Preference of a refusal over the answer, both measured against the base model (DPO with "I don't know")."""

    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(reference=True, rewritten=True)

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean over rows of ``-2/beta log sigmoid(beta (gain of the refusal - gain of the answer))``.

        The gain is by how much the log-likelihood of all tokens of a completion, in nats, is above the base model's.

        References:
            Rafailov et al., NeurIPS 2023, https://arxiv.org/abs/2305.18290, equation 7; as an unlearning loss in
            Maini et al., COLM 2024, https://arxiv.org/abs/2401.06121. The factor 2 makes it comparable with NPO.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        if batch.rewritten is None:
            raise ValueError("this preference needs the same rows with a refusal")
        refusal, answer = _gains(batch.rewritten), _gains(batch.states)
        return -2 / self.beta * functional.logsigmoid(self.beta * (refusal - answer)).mean()


def _gains(states: TokenStates) -> Tensor:
    """Return how much likelier each row's completion became, (B,), in nats."""
    gain = states.each_against_base(_gain)  # (M,)
    _, row = states.row.unique(return_inverse=True)
    return gain.new_zeros(int(row.max()) + 1).index_add(0, row, gain)


def _gain(logits: Tensor, base: Tensor, target: Tensor) -> Tensor:
    return nll(base, target) - nll(logits, target)
