from dataclasses import dataclass

from core.evaluation.membership.score import MembershipEvidence


@dataclass(frozen=True)
class Loss:
    """The item's loss: a model is less surprised by what it was trained on."""

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return ``-1/m sum_i log p(x_i | x_<i)`` in nats, at least 0.

        References:
            Yeom et al., CSF 2018, https://arxiv.org/abs/1709.01604.
        """
        return evidence.scores.loss
