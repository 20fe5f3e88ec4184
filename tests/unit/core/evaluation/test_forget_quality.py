import json
import math
from itertools import combinations
from pathlib import Path
from statistics import fmean, variance

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.forget_quality import distance_interval, equivalence, forget_quality
from core.evaluation.metric import UndefinedMetricError
from core.evaluation.truth_ratio import TruthRatio

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tofu_losses.json").read_text())
SAMPLES = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=8)


def normal(count, *, mean=0.0, seed=0):
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn * 0.6 + mean).tolist()


def log_ratios(model):
    losses = GOLDEN["forget"][model]
    rows = zip(losses["paraphrased"], losses["perturbed"], strict=True)
    return [TruthRatio("q", paraphrased, tuple(perturbed)).log_ratio for paraphrased, perturbed in rows]


def gap(sample, reference, at):
    return sum(x <= at for x in sample) / len(sample) - sum(y <= at for y in reference) / len(reference)


def slow_distance(sample, reference):
    return max(abs(gap(sample, reference, at)) for at in {*sample, *reference})


@pytest.mark.parametrize(
    ("model", "distance", "p_value"), [("Llama2-7B", 0.396667, 1.834066e-21), ("Phi", 0.346667, 2.194274e-16)]
)
def test_quality_of_published_losses_is_the_published_one(model, distance, p_value):
    found = forget_quality(log_ratios(f"{model} full"), log_ratios(f"{model} retain90"))

    assert (found.num_items, found.num_reference_items) == (300, 300)
    assert found.ks_distance == pytest.approx(distance, abs=5e-7)
    assert found.ks_p_value == pytest.approx(p_value, rel=5e-7)
    assert found.ks_distance_ci95[0] > 0.2
    assert not found.equivalence.equivalent


def test_p_value_is_the_share_of_all_ways_to_split_the_items():
    sample, reference = normal(8, mean=0.5), normal(8, seed=1)

    found = forget_quality(sample, reference)

    pooled = [*sample, *reference]
    ways = [
        slow_distance([pooled[at] for at in chosen], [pooled[at] for at in range(16) if at not in chosen])
        for chosen in combinations(range(16), 8)
    ]
    observed = slow_distance(sample, reference)
    assert found.ks_distance == pytest.approx(observed)
    assert found.ks_p_value == pytest.approx(sum(way >= observed - 1e-9 for way in ways) / len(ways))


def test_quality_is_the_same_when_both_ratios_are_turned_upside_down():
    sample, reference = normal(20, mean=0.5), normal(30, seed=1)

    one = forget_quality(sample, reference)
    other = forget_quality([-value for value in sample], [-value for value in reference])

    assert one.ks_distance == pytest.approx(other.ks_distance)
    assert one.ks_p_value == pytest.approx(other.ks_p_value)


def test_model_is_equivalent_to_itself():
    ratios = normal(100)

    found = forget_quality(ratios, ratios)

    assert (found.ks_distance, found.ks_p_value) == (0.0, 1.0)
    assert found.ks_distance_ci95[0] == 0.0
    assert found.equivalence.difference == 0.0
    assert found.equivalence.equivalent


def test_few_items_are_neither_different_nor_equivalent():
    found = forget_quality(normal(12), normal(12, seed=1))

    assert found.ks_p_value > 0.05
    assert not found.equivalence.equivalent


@pytest.mark.parametrize(("sample", "reference"), [(7, 100), (100, 7), (0, 0)])
def test_too_few_items_have_no_quality(sample, reference):
    with pytest.raises(UndefinedMetricError, match="8 are needed"):
        forget_quality(normal(sample), normal(reference))


def test_items_that_are_all_alike_have_no_quality():
    with pytest.raises(UndefinedMetricError, match="same truth ratio"):
        forget_quality([0.5] * 10, [0.5] * 10)


@given(sample=SAMPLES, reference=SAMPLES)
@settings(max_examples=20, deadline=None)
def test_interval_holds_the_distance_of_the_samples_also_with_ties(sample, reference):
    low, high = distance_interval(sample, reference, seed=0)

    assert 0.0 <= low <= slow_distance(sample, reference) + 1e-9 <= high + 2e-9 <= 1.0 + 2e-9


def test_interval_equals_a_loop_over_resamples():
    sample, reference = normal(15, mean=0.4), normal(20, seed=1)

    low, high = distance_interval(sample, reference, seed=0)

    generator = torch.Generator().manual_seed(5)
    observed = slow_distance(sample, reference)
    places = sorted([*sample, *reference])
    moved = []
    for _ in range(1000):
        first = [sample[at] for at in torch.randint(15, (15,), generator=generator).tolist()]
        second = [reference[at] for at in torch.randint(20, (20,), generator=generator).tolist()]
        moved.append(max(abs(gap(first, second, at) - gap(sample, reference, at)) for at in places))
    reach = sorted(moved)[949]
    assert low == pytest.approx(max(0.0, observed - reach), abs=0.03)
    assert high == pytest.approx(min(1.0, observed + reach), abs=0.03)


def test_resampled_distances_would_not_reach_down_to_zero_when_nothing_differs():
    sample, reference = normal(40), normal(40, seed=100)

    low, _ = distance_interval(sample, reference, seed=0)

    generator = torch.Generator().manual_seed(5)
    resampled = []
    for _ in range(400):
        places = torch.randint(40, (2, 40), generator=generator).tolist()
        resampled.append(slow_distance([sample[at] for at in places[0]], [reference[at] for at in places[1]]))
    assert low == 0.0
    assert sorted(resampled)[9] > 0.05  # the 2.5th percentile


def test_interval_reaches_down_to_zero_when_nothing_differs():
    intervals = [distance_interval(normal(40, seed=seed), normal(40, seed=100 + seed), seed=0) for seed in range(10)]

    assert sum(low == 0.0 for low, _ in intervals) >= 8  # nine or ten are to be expected


def test_interval_is_the_same_for_the_same_seed():
    sample, reference = normal(9), normal(9, seed=1)

    assert distance_interval(sample, reference, seed=3) == distance_interval(sample, reference, seed=3)


def test_one_sided_p_values_are_those_of_welch():
    sample, reference, margin = normal(9, mean=0.1), normal(14, seed=1), 0.3

    found = equivalence(sample, reference, margin=margin)

    parts = variance(sample) / 9, variance(reference) / 14
    error, freedom = math.sqrt(sum(parts)), sum(parts) ** 2 / (parts[0] ** 2 / 8 + parts[1] ** 2 / 13)
    difference = fmean(sample) - fmean(reference)
    assert found.difference == pytest.approx(difference)
    assert found.p_above_lower == pytest.approx(student_tail((difference + margin) / error, freedom), abs=1e-6)
    assert found.p_below_upper == pytest.approx(student_tail((margin - difference) / error, freedom), abs=1e-6)


def student_tail(t, freedom):
    """The upper tail of Student's distribution, by the trapezoidal rule."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    x = torch.linspace(0.0, abs(t), 100_001, dtype=torch.float64)
    inner = float(torch.trapezoid(scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x))
    return 0.5 - math.copysign(inner, t)


@pytest.mark.parametrize(("mean", "equivalent"), [(0.0, True), (0.5, False), (-0.5, False), (0.223, False)])
def test_means_are_equivalent_when_both_tests_say_so(mean, equivalent):
    reference = normal(400)
    sample = [value + mean for value in reference]

    found = equivalence(sample, reference, margin=math.log(1.25))

    assert found.equivalent is equivalent
    assert found.equivalent == (found.p_above_lower < 0.05 and found.p_below_upper < 0.05)
