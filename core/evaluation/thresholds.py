from collections.abc import Sequence
from statistics import fmean

import torch

from core.domain.policy import Gate, Policy
from core.domain.report import ForgetThreshold, PerplexityThreshold, Thresholds
from core.evaluation.bootstrap import MIN_ITEMS, bootstrap_interval
from core.evaluation.evaluate import SetScores
from core.evaluation.item_limits import CHANCE_OVER

ITEM_QUANTILE = 0.95
# Texts that were not to be forgotten may cost 1.6 nats a token more. A coarse bound, against destroyed models alone:
# those of the kind of the forgotten ones become up to three times as surprising in runs that keep unseen retain rows.
MAX_PERPLEXITY_RATIO = 5.0


class UnusableHoldoutError(Exception):
    """The holdout set cannot say what this metric is on unseen text. The message says why and goes into the report."""


def choose_thresholds(policy: Policy, holdout: SetScores | None, *, seed: int = 0) -> Thresholds:
    """Return the gates of a run: from the holdout set under the base model where it can tell, else the policy's own.

    Forgotten means indistinguishable from text that the model has never seen, so the mean over the forget set may
    reach the upper end of the 95 % confidence interval of the holdout mean, and a single item the 95th percentile of
    the holdout items. The policy bounds both: a holdout set that the model knows by heart must not make everything
    pass. Where the holdout set is of no use for a metric, that gate is the policy's and ``holdout_refused`` says why.
    Of several limits an unseen item is over one more often than over a given one; ``chance_over`` says how often.

    References:
        Jang et al., ACL 2023, https://arxiv.org/abs/2210.01504, section 3.2 (the holdout mean as threshold).
    """
    gates, refused = [], {}
    for gate in policy.forget:
        try:
            gates.append(_from_holdout(gate, holdout.values(gate.metric) if holdout else [], seed=seed))
        except UnusableHoldoutError as error:
            gates.append(ForgetThreshold(metric=gate.metric, at_most=gate.at_most, item_at_most=gate.item_at_most))
            if holdout is not None:
                refused[gate.metric] = str(error)
    return Thresholds(
        policy=policy.name,
        source="holdout" if any(gate.holdout_mean is not None for gate in gates) else "policy",
        forget=gates,
        retain=list(policy.retain),
        holdout_refused=refused,
        chance_over=_chance_over(gates, holdout),
    )


def bounded(thresholds: Thresholds, policy: Policy, *, retain_rows_unseen: bool, num_holdout_items: int) -> Thresholds:
    """Return the thresholds with bounds on how much more surprising texts may become that were not to be forgotten.

    The gates of the retain set count right tokens, those that end a text among them: a model that can do nothing but
    end a text passes them where it never knew the retain rows. And where these are trained on, for there are too few
    to set some aside, they say nothing about what training did to everything else: there the holdout set is asked,
    which no step ever sees.

    Args:
        thresholds: as :func:`choose_thresholds` gives them.
        policy: there are no bounds where it leaves perplexity out.
        retain_rows_unseen: whether the retain rows that are measured are kept out of training.
        num_holdout_items: that are measured.
    """
    if "perplexity" not in policy.metrics:
        return thresholds
    bounds = [PerplexityThreshold(set_name="retain", at_most_ratio=MAX_PERPLEXITY_RATIO)]
    if not retain_rows_unseen and num_holdout_items >= MIN_ITEMS:
        bounds.append(PerplexityThreshold(set_name="holdout", at_most_ratio=MAX_PERPLEXITY_RATIO))
    return thresholds.model_copy(update={"perplexity": bounds})


def _from_holdout(gate: Gate, values: list[float], *, seed: int) -> ForgetThreshold:
    if len(values) < MIN_ITEMS:
        raise UnusableHoldoutError(f"{len(values)} holdout items have this metric; at least {MIN_ITEMS} needed")
    low, high = bootstrap_interval(values, seed=seed)
    if low == high:
        raise UnusableHoldoutError("all holdout items have the same value, so there is no interval")
    if high > gate.item_at_most:
        raise UnusableHoldoutError(
            f"the base model's mean on the holdout set may be {high:.3f}, above the {gate.item_at_most:g} that the "
            "policy allows a single forgotten item: it has seen that text, or the text guesses itself"
        )
    quantile = float(torch.tensor(values, dtype=torch.float64).quantile(ITEM_QUANTILE))
    return ForgetThreshold(
        metric=gate.metric,
        at_most=min(high, gate.holdout_at_most),
        item_at_most=min(max(quantile, high), gate.item_at_most),
        holdout_mean=fmean(values),
        holdout_ci95=(low, high),
    )


def _chance_over(gates: Sequence[ForgetThreshold], holdout: SetScores | None) -> float | None:
    """Return the share of holdout items over any limit of an item, None where these cannot tell for each limit.

    Each limit from the holdout set is a 95th percentile, so it is at least 5 % and at most as many times that; more
    are over them only where the policy has lowered a limit, which it means. A limit that is the policy's own is
    vouched for where no holdout item is over it.
    """
    measured = [gate for gate in gates if gate.holdout_mean is not None]
    if holdout is None or not measured or any(_is_doubtful(gate, holdout) for gate in gates):
        return None
    over = sum(
        any(item.values[gate.metric] > gate.item_at_most for gate in measured if gate.metric in item.values)
        for item in holdout.items
    )
    return min(max(over / len(holdout.items), CHANCE_OVER), len(measured) * CHANCE_OVER)


def _is_doubtful(gate: ForgetThreshold, holdout: SetScores) -> bool:
    """Return whether a limit of the policy is one that unseen items may be over, for all that is known."""
    values = holdout.values(gate.metric)
    return gate.holdout_mean is None and (len(values) < MIN_ITEMS or max(values) > gate.item_at_most)
