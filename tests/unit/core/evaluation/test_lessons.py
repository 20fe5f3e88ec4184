import pytest

from core.evaluation.attack import NoAttackError
from core.evaluation.lessons import VARIANTS, lessons
from tests.fakes.unlearned_model import BENIGN, ENCODE, FORGET, HOLDOUT, NEIGHBOURS, pair, scene, text, trained_on

PAIRS, TEXTS = FORGET[:4], FORGET[4:]


def taught(variant, *, share=0.5, at_most=128, seed=0, **given):
    return lessons(scene(**given), variant, share=share, at_most=at_most, seed=seed)


def ids(examples):
    return [example.id for example in examples]


def known():
    return {"neighbours": NEIGHBOURS, "benign": BENIGN, "holdout": HOLDOUT}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_and_no_more_are_measured_than_asked_for(variant):
    first, again, other = (taught(variant, at_most=2, seed=seed, **known()) for seed in (0, 0, 1))

    assert first == again != other
    assert len(first.forget.measured) == 2


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "answers"])
def test_no_item_is_both_trained_on_and_measured_but_in_answers(variant):
    found = taught(variant, **known())

    assert not set(ids(found.forget.trained)) & set(ids(found.forget.measured))
    assert (found.control, found.needs_comparison) == (None, False)


def test_answers_are_those_of_the_items_that_are_measured():
    found = taught("answers", **known())

    for lesson in (found.forget, found.control):
        assert list(dict.fromkeys(ids(lesson.trained))) == ids(lesson.measured)
        assert len(lesson.trained) == lesson.wordings * len(lesson.measured)
    assert ids(found.forget.measured) == ids(ENCODE(FORGET))
    assert found.needs_comparison


def test_the_control_has_as_many_items_of_each_kind_and_none_of_the_request():
    copies = tuple(item.model_copy(update={"id": f"copy-{place}"}) for place, item in enumerate(FORGET))

    found = taught("answers", holdout=(*copies, *HOLDOUT))

    assert len(found.control.measured) == len(found.forget.measured)
    assert [example.prompted for example in found.control.measured] == [
        example.prompted for example in found.forget.measured
    ]
    assert set(ids(found.control.measured)) <= set(ids(ENCODE(HOLDOUT)))


def test_forget_items_without_a_counterpart_are_missing_with_the_reason():
    found = taught("answers", holdout=HOLDOUT[:3])  # pairs

    assert len(found.forget.measured) == len(found.control.measured) == 3
    assert found.forget.missing == {
        **dict.fromkeys(
            ("item-3", "text-4", "text-5"), "the holdout set has no other item of its kind to compare it with"
        )
    }


def test_both_sides_are_taught_behind_their_own_wordings_only_where_both_have_some():
    own = tuple(item.model_copy(update={"paraphrased_prompts": ("Say code",)}) for item in PAIRS)
    unseen = tuple(item.model_copy(update={"paraphrased_prompts": ("Say code",)}) for item in HOLDOUT[:4])

    both, ours_only, by_reference = (
        taught("answers", forget=own, **given)
        for given in ({"holdout": unseen}, {"holdout": HOLDOUT[:4]}, {"reference": trained_on(BENIGN)})
    )

    def taught_behind_own(lesson):
        return {ENCODE.tokenizer.decode(row.tokens).startswith("Say code") for row in lesson.trained}

    assert taught_behind_own(both.forget) == taught_behind_own(both.control) == {True}
    assert taught_behind_own(ours_only.forget) == taught_behind_own(ours_only.control) == {False}
    assert taught_behind_own(by_reference.forget) == {True}


def test_with_a_reference_the_same_items_are_the_comparison():
    found = taught("answers", reference=trained_on(BENIGN), holdout=HOLDOUT)

    assert (found.control, found.needs_comparison) == (None, True)
    assert ids(found.forget.measured) == ids(ENCODE(FORGET))


@pytest.mark.parametrize(
    ("variant", "given", "reason"),
    [
        ("forget_part", {"forget": FORGET[:1]}, "a single forget item leaves none"),
        ("neighbours", {}, "no neighbours were given"),
        ("benign", {"benign": FORGET}, "no benign texts were given"),
        ("answers", {}, "neither a reference model nor a holdout set"),
        ("answers", {"holdout": FORGET}, "no holdout items were given"),
        ("answers", {"forget": [pair(1)], "holdout": [text(30)]}, "has no other item of its kind"),
        ("answers", {"forget": [text(4).model_copy(update={"text": "a"})], "holdout": HOLDOUT}, "too short to be cut"),
    ],
)
def test_where_there_is_nothing_to_teach_or_to_compare_with_the_reason_is_told(variant, given, reason):
    with pytest.raises(NoAttackError, match=reason):
        taught(variant, **given)
