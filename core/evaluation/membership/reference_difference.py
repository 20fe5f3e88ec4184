from dataclasses import dataclass

from core.evaluation.membership.score import MembershipEvidence, UndefinedScoreError


@dataclass(frozen=True)
class ReferenceDifference:
    """How much more an item surprises the model than one that never saw it: what is simply hard cancels out."""

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return the item's loss under the model minus its loss under the reference model, in nats.

        Raises:
            UndefinedScoreError: there is no reference model, or it reads the item as other tokens, whose losses do not
                compare.

        References:
            Carlini et al., USENIX Security 2021, https://arxiv.org/abs/2012.07805; code in locuslab/open-unlearning.
        """
        if evidence.reference is None:
            raise UndefinedScoreError("no reference model was given")
        if not evidence.reference.target.equal(evidence.scores.target):
            raise UndefinedScoreError("the reference model reads the item as other tokens")
        return evidence.scores.loss - evidence.reference.loss
