from core.domain.report import MembershipResult, SetResult, Thresholds, Verdict
from core.evaluation.unseen import looks_unseen
from core.evaluation.verdict import Judgement


def judge_untouched(
    forget: SetResult,
    holdout: SetResult | None,
    thresholds: Thresholds,
    membership: MembershipResult | None = None,
) -> Judgement | None:
    """Return that no action is needed, or None where it is or where nobody can tell.

    The base model must make no more of the texts than of texts that it never saw, as :func:`looks_unseen` asks it.
    Erring means that a text is unlearned that need not have been.
    """
    if not looks_unseen(forget, holdout, thresholds, membership, when="before"):
        return None
    return Judgement(Verdict.NO_ACTION_NEEDED, (True,) * len(forget.items), ())
