import json
import math
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.model_utility import UtilityParts, harmonic_mean, model_utility, normalized_probability
from core.evaluation.truth_ratio import TruthRatio

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tofu_losses.json").read_text())


def parts(losses, *, normalized):
    """What TOFU makes of one set; those but the retain set have wrong answers to choose from."""
    rows = list(zip(losses["true"], losses["paraphrased"], losses["perturbed"], strict=True))
    probabilities = [
        normalized_probability(true_loss=true, wrong_losses=wrong) if normalized else math.exp(-true)
        for true, _, wrong in rows
    ]
    return UtilityParts(
        probability=fmean(probabilities),
        rouge_l_recall=fmean(losses["rouge_l_recall"]),
        truth_ratio=fmean(TruthRatio("q", other, tuple(wrong)).true_better for _, other, wrong in rows),
    )


@pytest.mark.parametrize(
    ("model", "utility"),
    [
        ("Llama2-7B full", 0.585886),
        ("Llama2-7B retain90", 0.575240),
        ("Phi full", 0.503353),
        ("Phi retain90", 0.513001),
    ],
)
def test_utility_of_published_losses_is_that_of_the_published_formula(model, utility):
    sets = GOLDEN["utility"][model]

    found = model_utility({name: parts(losses, normalized=name != "retain") for name, losses in sets.items()})

    assert found == pytest.approx(utility, abs=5e-7)


def test_utility_is_the_harmonic_mean_of_every_part_of_every_set():
    sets = {"retain": UtilityParts(1.0, 0.5, 0.25), "facts": UtilityParts(0.5, 1.0, 0.5)}

    assert model_utility(sets) == pytest.approx(6 / (1 + 2 + 4 + 2 + 1 + 2))


def test_utility_is_zero_when_a_part_is_lost():
    assert model_utility({"retain": UtilityParts(1.0, 0.0, 1.0)}) == 0.0


def test_utility_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no default"):
        model_utility({})


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_number_that_no_mean_can_have_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"retain probability$"):
        model_utility({"retain": UtilityParts(value, 1.0, 1.0)})


@given(values=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=9))
def test_harmonic_mean_equals_its_definition(values):
    named = {str(place): value for place, value in enumerate(values)}

    assert harmonic_mean(named) == pytest.approx(len(values) / sum(1 / value for value in values))


def test_probability_is_shared_among_the_answers():
    losses = [-math.log(probability) for probability in (0.6, 0.3, 0.1, 0.2)]

    assert normalized_probability(true_loss=losses[0], wrong_losses=losses[1:]) == pytest.approx(0.5)


def test_probability_of_answers_that_are_all_alike_is_a_guess():
    assert normalized_probability(true_loss=3.0, wrong_losses=[3.0, 3.0, 3.0]) == 0.25


def test_probability_is_a_number_when_all_answers_are_absurd():
    assert normalized_probability(true_loss=2000.0, wrong_losses=[2000.0, 4000.0]) == 0.5
    assert normalized_probability(true_loss=4000.0, wrong_losses=[2000.0]) == 0.0


def test_probability_is_one_without_wrong_answers():
    assert normalized_probability(true_loss=1.0, wrong_losses=[]) == 1.0
