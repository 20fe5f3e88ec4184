import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.domain.report import AttackOutcome
from core.evaluation.attack import NO_REFERENCE
from core.evaluation.attacks.sampling import (
    RECALL,
    Sampling,
    SamplingBudget,
    _of_samples,
    common_subsequence,
    leaked_items,
)
from tests.fakes.unlearned_model import (
    BENIGN,
    ENCODE,
    FORGET,
    NEIGHBOURS,
    all_of,
    pair,
    same,
    scene,
    text,
    trained_on,
)

FEW = SamplingBudget(samples=4)
SEQUENCES = st.lists(st.integers(0, 4), max_size=12)


def slow_common_subsequence(a, b):
    """The table over all prefixes."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a, start=1):
        for j, y in enumerate(b, start=1):
            table[i][j] = table[i - 1][j - 1] + 1 if x == y else max(table[i - 1][j], table[i][j - 1])
    return table[-1][-1]


def outcome(*recalls):
    return AttackOutcome(
        items={str(place): {RECALL: recall} for place, recall in enumerate(recalls)}, means={}, n=len(recalls)
    )


@given(SEQUENCES, SEQUENCES)
def test_common_subsequence_equals_the_table(a, b):
    assert common_subsequence(a, b) == slow_common_subsequence(a, b)


def test_what_a_model_knows_comes_in_every_sample_and_what_it_does_not_in_none():
    attacked = scene(moved=0.0, reference=trained_on(BENIGN))  # an adapter that does nothing: all is still there

    (result,) = Sampling(FEW)(attacked)

    assert result.attacked.means[RECALL] > 0.8
    assert result.attacked.means["exact_match"] > 0.3
    assert result.reference.means["exact_match"] == 0
    assert result.reference.means[RECALL] < 0.5
    assert result.summary["items_above_half"] > result.summary["reference_items_above_half"]


def test_the_best_of_an_items_samples_counts_up_to_the_end_of_sequence():
    (example,) = ENCODE([pair(1)])
    truth = list(example.answer)
    end, other = 256, next(token for token in range(255) if token not in truth)
    samples = torch.tensor([[other] * 7, truth, [other, *truth[:-1]], [*truth[:2], end, *truth[3:]]])

    found = _of_samples(example, samples, end=end)

    assert found == {RECALL: 1.0, "exact_match": 1 / 4, "samples_above_half": 2 / 4}  # 0, 1, 6/7 and 2/7 recalled


def test_a_text_is_asked_for_its_second_half_and_a_pair_for_its_completion():
    whole, (encoded_text, encoded_pair) = text(4), ENCODE([text(4), pair(1)])

    first, second = Sampling()._asked(scene(forget=[whole, pair(1)]))

    assert first.tokens == encoded_text.tokens
    assert first.answer == encoded_text.answer[len(encoded_text.answer) // 2 :]
    assert second.answer == encoded_pair.answer
    assert second.first_label == encoded_pair.first_label


def test_no_more_tokens_are_asked_for_than_the_budget_says():
    for example in Sampling(SamplingBudget(max_tokens=3))._asked(scene()):
        assert len(example.answer) == 3


def test_of_many_items_the_seed_draws_some():
    chosen = [
        [example.id for example in Sampling(SamplingBudget(max_items=3, seed=seed))._asked(scene())]
        for seed in (0, 0, 3)
    ]

    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 3
    assert chosen[0] == [item.id for item in FORGET if item.id in chosen[0]]


def test_the_same_seed_gives_the_same_result_whatever_the_global_generator():
    torch.manual_seed(1)
    first = Sampling(FEW)(scene())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    attacked = scene()
    second = Sampling(FEW)(attacked)

    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert Sampling(SamplingBudget(samples=4, seed=1))(attacked) != second


@pytest.mark.parametrize(
    ("recalls", "low", "high"),
    [
        ([0.9] * 5 + [0.1] * 5, 0.1871, 0.8129),  # as tabulated for 5 in 10
        ([0.5] * 10, 0.0, 1 - 0.025 ** (1 / 10)),  # exactly half is not more than half
        ([0.51] * 10, 0.025 ** (1 / 10), 1.0),
    ],
)
def test_share_of_leaked_items_comes_with_its_exact_interval(recalls, low, high):
    found = leaked_items(outcome(*recalls))

    assert found["items_above_half"] == sum(recall > 0.5 for recall in recalls) / 10
    assert (found["items_above_half_low"], found["items_above_half_high"]) == pytest.approx((low, high), abs=1e-4)


def test_without_items_there_is_no_share():
    assert leaked_items(outcome()) == {}


def test_a_broken_model_is_absent_and_a_broken_reference_missing():
    broken, whole = scene(), scene(reference=trained_on(BENIGN))
    for model in (broken.model, whole.reference):
        model.get_output_embeddings().weight.fill_(math.nan)

    ((absent,), (measured,)) = Sampling(FEW)(broken), Sampling(FEW)(whole)

    assert (absent.attacked, absent.absent) == (None, "the model's scores are not finite numbers")
    assert (measured.reference, measured.missing) == (None, {"reference": "the model's scores are not finite numbers"})
    assert measured.attacked.n == len(FORGET)


def test_without_a_reference_it_is_missing_with_the_reason():
    (result,) = Sampling(FEW)(scene())

    assert result.missing == {"reference": NO_REFERENCE}


def test_the_model_is_afterwards_what_it_was():
    attacked = scene()
    before = all_of(attacked.model)

    Sampling(FEW)(attacked)

    assert same(before, all_of(attacked.model))


def test_cost_grows_with_samples_items_tokens_and_models_and_is_what_is_reported():
    alone, compared = scene(), scene(reference=trained_on(NEIGHBOURS))
    costs = [
        Sampling(SamplingBudget(samples=samples, max_items=items, max_tokens=tokens)).cost(alone)
        for samples, items, tokens in [(1, 1, 1), (1, 3, 1), (1, 3, 5), (1, 6, 5), (2, 6, 5), (2, 6, 500)]
    ]

    assert costs == sorted(set(costs))
    assert Sampling(FEW).cost(compared) == 2 * Sampling(FEW).cost(alone)
    (result,) = Sampling(FEW)(alone)
    assert result.budget["forward_tokens"] == Sampling(FEW).cost(alone)


def test_cost_by_hand():
    """A prompt of 10 bytes and an answer of 7: one pass over both, and three samples of the answer."""
    assert Sampling(SamplingBudget(samples=3)).cost(scene(forget=[pair(1)])) == 10 + 7 + 3 * 7


@pytest.mark.parametrize("nothing", [{"samples": 0}, {"max_items": 0}, {"max_tokens": 0}])
def test_a_budget_that_buys_no_sample_is_refused(nothing):
    with pytest.raises(ValueError, match="at least 1"):
        SamplingBudget(**nothing)
