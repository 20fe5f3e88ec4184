import pytest

from core.data.corpus import Example
from core.domain.catalog import LawOptions, LokuOptions
from core.domain.report import TrainingSummary
from core.pipeline.learn import Learned
from core.pipeline.sets import EncodedSets
from core.pipeline.trained_tokens import trained_tokens


def example(length):
    return Example("item", tuple(range(length)), 1, 0)


def sets(forget, retain):
    return EncodedSets(
        forget=[example(length) for length in forget],
        retain_trained=[example(length) for length in retain],
        retain_measured=[],
        holdout=None,
        forget_items=(),
        retain_items=(),
        holdout_items=(),
        measures_unseen=False,
        excluded_retain=0,
        excluded_holdout=0,
        duplicate_retain=0,
    )


def learned(steps):
    summary = TrainingSummary(
        steps=steps, planned_steps=9, delivered_step=steps, stopped_early=True, resumed_from_step=None, trajectory=[]
    )
    return Learned(adapter=None, training=summary)


@pytest.mark.parametrize(
    ("retain_loss", "tokens"),
    [
        ("cross_entropy", 3 * 5 * (2 * 6 + 4 * 10)),  # both items of the forget set, and four of the retain set
        ("none", 3 * 5 * 2 * 6),
    ],
)
def test_tokens_are_steps_times_rows_times_their_mean_length_and_count_three(retain_loss, tokens):
    options = LokuOptions(batch_size=4, retain_loss=retain_loss)

    assert trained_tokens(learned(5), options, sets([4, 8], [5, 10, 15, 10, 10, 10])) == tokens


def test_an_edit_trains_nothing():
    assert trained_tokens(learned(5), LawOptions(), sets([4], [5])) is None
