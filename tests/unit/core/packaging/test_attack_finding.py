import pytest

from core.packaging.attack_finding import comparison_of, difference_of, finding, left_open_by_teaching
from tests.unit.core.packaging.reports import make_attack, make_outcome

ES = "extraction_strength"


def taught(*, low, high, reference=None, control=None, **changes):
    """Return an attack that gets 0.60 of an item on average."""
    mean = (low + high) / 2
    return make_attack(
        variant="answers",
        attacked=make_outcome({"one": 0.5, "two": 0.7}),
        reference=None if reference is None else make_outcome({"one": reference}),
        control=None if control is None else make_outcome({"other": control}),
        **{
            "summary": {f"difference_{ES}": mean, f"difference_low_{ES}": low, f"difference_high_{ES}": high},
            **changes,
        },
    )


def test_what_comes_back_stands_beside_what_unseen_texts_do():
    said = finding(taught(low=0.2, high=0.6, control=0.2))

    assert said.startswith(
        "At its worst point this model completes 60 % of an item on average; of as many texts that it never saw, after "
        "the same training, 20 %. That is more than chance explains (95 % interval +20 to +60 "
        "points), so something of the texts is still in it, unless the others are harder to learn by themselves."
    )


def test_a_reference_leaves_no_doubt_about_harder_texts():
    said = finding(taught(low=0.2, high=0.6, reference=0.2))

    assert "after the same training, a model that never saw the items completes 20 %." in said
    assert "harder to learn" not in said
    assert "expected of every known method" in said


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.1, 0.3, "The difference may be chance (95 % interval -10 to +30 points)."),
        (-0.4, -0.1, "That is less (95 % interval -40 to -10 points): the adapter holds the items down."),
    ],
)
def test_numbers_that_show_nothing_left_do_not_show_that_nothing_is(low, high, words):
    said = finding(taught(low=low, high=high, control=0.5))

    assert words in said
    assert "does not show" in said
    assert "still in it" not in said


def test_too_few_items_show_nothing():
    attack = taught(low=0, high=0, control=0.2, summary={}, missing={f"difference_{ES}": "7 items"})

    assert difference_of(attack) is None
    assert finding(attack).endswith("There are too few items to say whether that is more than chance.")


def test_the_choice_of_the_strongest_rate_is_told():
    chosen = taught(low=0.2, high=0.6, control=0.2, budget={"learning_rates_tried": 2})

    assert finding(chosen).endswith(
        "Of 2 learning rates the one that gets most out of it is shown, which favours finding a difference."
    )
    assert "learning rates" not in finding(taught(low=0.2, high=0.6, control=0.2, budget={"learning_rates_tried": 1}))


@pytest.mark.parametrize(
    "attack",
    [
        make_attack(),  # of a report from before there was a difference
        make_attack(name="prompts", variant="few_shot", summary={}, missing={}),
        taught(low=0.2, high=0.6),
        taught(low=0.2, high=0.6, control=0.2).model_copy(update={"attacked": None, "absent": "no memory"}),
        taught(low=0.2, high=0.6, control=0.2).model_copy(
            update={"control": make_outcome({"a": 0}).model_copy(update={"means": {}})}
        ),
    ],
)
def test_an_attack_without_a_difference_has_no_finding(attack):
    assert finding(attack) is None


def test_the_reference_is_what_an_attack_is_compared_with_where_there_is_one():
    assert comparison_of(taught(low=0, high=1, reference=0.3)).outcome.means[ES] == 0.3
    assert comparison_of(taught(low=0, high=1, control=0.2)).outcome.means[ES] == 0.2
    assert comparison_of(taught(low=0, high=1)) is None


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (taught(low=0.2, high=0.6, control=0.2), "got further than with texts that it never saw, so something"),
        (taught(low=0.2, high=0.6, reference=0.2), "got further than a model that never saw them, so something"),
        (
            taught(low=-0.2, high=0.6, control=0.2),
            "about as far as with texts that it never saw, which chance may hide",
        ),
        (taught(low=-0.6, high=-0.2, reference=0.2), "less far than a model that never saw them"),
        (taught(low=0, high=0, control=0.2, summary={}), "too few of their answers were taught"),
    ],
)
def test_what_teaching_leaves_open_is_told(attack, words):
    said = left_open_by_teaching(attack)

    assert words in said
    assert said.endswith("Fine-tuning for longer or at other rates was not tried.")
