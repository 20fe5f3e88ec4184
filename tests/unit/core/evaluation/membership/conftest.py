from collections.abc import Callable, Sequence

import pytest
import torch

from core.evaluation.membership.score import MembershipEvidence
from core.evaluation.scored_items import ItemScores, TokenSpread


@pytest.fixture(scope="session")
def scores() -> Callable[..., ItemScores]:
    """Scores from the log probabilities of the true tokens and, where they matter, the moments of each prediction."""

    def make(
        log_prob: Sequence[float], *, mean: Sequence[float] | None = None, deviation: Sequence[float] | None = None
    ) -> ItemScores:
        spread = None
        if mean is not None and deviation is not None:
            spread = TokenSpread(torch.tensor(mean), torch.tensor(deviation))
        target = torch.arange(len(log_prob))
        return ItemScores("item", torch.tensor(log_prob), target, target, torch.tensor([], dtype=torch.bool), spread)

    return make


@pytest.fixture(scope="session")
def evidence(scores) -> Callable[..., MembershipEvidence]:
    def make(
        log_prob: Sequence[float],
        *,
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
        compressed_bytes: int = 10,
        reference: ItemScores | None = None,
    ) -> MembershipEvidence:
        return MembershipEvidence(scores(log_prob, mean=mean, deviation=deviation), compressed_bytes, reference)

    return make
