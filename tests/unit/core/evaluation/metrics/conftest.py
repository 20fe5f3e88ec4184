from collections.abc import Callable, Sequence

import pytest
import torch

from core.evaluation.metric import Evidence
from core.evaluation.scored_items import ItemScores


@pytest.fixture(scope="session")
def evidence() -> Callable[..., Evidence]:
    """Evidence from right and wrong written as a string: "110" is right, right, wrong."""

    def make(correct: str = "1", *, trailing: str = "", probs: Sequence[float] | None = None) -> Evidence:
        hits = torch.tensor([mark == "1" for mark in correct])
        target = torch.arange(len(hits))
        return Evidence(
            ItemScores(
                id="item",
                log_prob=torch.tensor(probs or [0.5] * len(hits), dtype=torch.float64).log().float(),
                predicted=torch.where(hits, target, target + 1),
                target=target,
                trailing_correct=torch.tensor([mark == "1" for mark in trailing], dtype=torch.bool),
            )
        )

    return make
