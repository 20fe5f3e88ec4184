from dataclasses import dataclass

from core.evaluation.membership.score import MembershipEvidence


@dataclass(frozen=True)
class MinK:
    """The loss of the least probable tokens: text that was not trained on holds a few that surprise (Min-K%)."""

    k: int = 40  # percent of the content tokens

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return minus the mean of the lowest ``k`` % of ``log p(x_i | x_<i)``, of one at least, in nats.

        References:
            Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789.
        """
        log_prob = evidence.scores.log_prob.double()  # (m,)
        count = max(1, len(log_prob) * self.k // 100)
        return -float(log_prob.sort().values[:count].mean())
