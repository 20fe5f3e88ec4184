from core.evaluation.membership.score import UndefinedScoreError

# With less room between the reference model and certainty, a difference of one pair in a hundred is a fifth and more.
MIN_ROOM = 0.05


def priv_leak(auc: float, *, reference_auc: float | None) -> float:
    """Return ``((1 - auc) - (1 - reference_auc)) / (1 - reference_auc) * 100``, in percent, at least -100.

    0 is ideal: the forget set looks as to a model that was trained without it. Below 0 it still looks like training
    data, above 0 it is stranger than text that was never seen.

    Args:
        auc: of Min-40 % on the forget set against a holdout set, 1 where the forget set looks like training data.
        reference_auc: the same under a model that was trained without the forget set. None is no such model: 0.5 in
            its place would say that both sets are equally hard, which nobody has measured.

    Raises:
        UndefinedScoreError: there is no reference, or it tells the sets apart so well by itself that the ratio is
            all noise.

    References:
        Shi et al. (MUSE), ICLR 2025, https://arxiv.org/abs/2407.06460.
    """
    if reference_auc is None:
        raise UndefinedScoreError("there is no AUC of a reference model trained without the forget set")
    room = 1 - reference_auc
    if room < MIN_ROOM:
        raise UndefinedScoreError(
            f"the reference model tells the sets apart with an AUC of {reference_auc:.3f}; over {1 - MIN_ROOM:g} the "
            "ratio is unstable"
        )
    return ((1 - auc) - room) / room * 100
