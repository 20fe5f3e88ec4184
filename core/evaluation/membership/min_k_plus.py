from dataclasses import dataclass

from core.evaluation.membership.score import MembershipEvidence, UndefinedScoreError

# The least variance of log p: where the model is all but certain, rounding would be divided by next to nothing.
MIN_VARIANCE = 1e-6


@dataclass(frozen=True)
class MinKPlus:
    """Min-K% of standardized log probabilities: a true token is measured by what else was likely there (Min-K%++)."""

    k: int = 40  # percent of the content tokens

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return minus the mean of the lowest ``k`` % of ``z_i``, of one at least; dimensionless.

        With ``mu_i`` and ``sigma_i`` the mean and the standard deviation of ``log p(. | x_<i)`` under that very
        distribution, ``z_i = (log p(x_i | x_<i) - mu_i) / sigma_i``. The published code does not bound ``sigma_i``
        and takes the mean of no token where the item is short.

        Raises:
            UndefinedScoreError: the pass over the item did not collect the spread.

        References:
            Zhang et al., ICLR 2025, https://arxiv.org/abs/2404.02936.
        """
        scores = evidence.scores
        if scores.spread is None:
            raise UndefinedScoreError("the item was scored without the spread of its log probabilities")
        sigma = scores.spread.deviation.double().square().clamp(min=MIN_VARIANCE).sqrt()  # (m,)
        z = (scores.log_prob.double() - scores.spread.mean.double()) / sigma  # (m,)
        count = max(1, len(z) * self.k // 100)
        return -float(z.sort().values[:count].mean())
