import copy
import math

import pytest
import torch

from core.domain.report import MembershipResult, MembershipScore
from core.evaluation.membership import MEMBERSHIP_SCORES
from core.evaluation.membership.auc import auc
from core.evaluation.membership.inference import Membership, collect, compare, membership
from core.evaluation.scored_items import score_items

NO_RATE = "10 holdout items; at least 100 needed"


@pytest.fixture(scope="module")
def sets(make_example):
    return [[make_example(12, seed=50 * which + place, id=f"i{place}") for place in range(10)] for which in range(2)]


@pytest.fixture
def destroyed(gpt_neo):
    model = copy.deepcopy(gpt_neo)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(math.nan)
    return model


@pytest.fixture(scope="module")
def overfitted(overfit, sets):
    return overfit("gpt_neo", sets[0], steps=15)


def evidence_of(model, examples, **more):
    return collect(model, examples, compressed_bytes=[20] * len(examples), pad_id=0, **more)


def measured(model, sets):
    return membership(*(evidence_of(model, examples) for examples in sets))


def found(area, *, count=10):
    """Membership by one score alone."""
    return Membership(
        {
            "min_k": MembershipScore(
                auc=area,
                ci95=(0.0, 1.0),
                ci95_method="delong",
                p_value=1.0,
                tpr_at_1pct_fpr=None,
                num_members=count,
                num_others=count,
            )
        },
        {},
    )


def test_evidence_is_that_of_the_pass_with_spread(gpt_neo, sets):
    reference = score_items(gpt_neo, sets[0], pad_id=0)

    collected = collect(gpt_neo, sets[0], compressed_bytes=range(10, 20), pad_id=0, reference=reference)

    assert [item.scores.id for item in collected] == [example.id for example in sets[0]]
    assert [item.compressed_bytes for item in collected] == list(range(10, 20))
    assert all(item.scores.spread is not None for item in collected)
    assert [item.reference for item in collected] == reference


def test_evidence_is_refused_when_a_size_is_missing(gpt_neo, sets):
    with pytest.raises(ValueError, match="zip"):
        collect(gpt_neo, sets[0], compressed_bytes=[20] * 9, pad_id=0)


def test_each_score_has_the_auc_of_its_values(gpt_neo, sets):
    members, others = (
        evidence_of(gpt_neo, examples, reference=score_items(gpt_neo, examples, pad_id=0)) for examples in sets
    )

    scores = membership(members, others).scores

    assert scores.keys() == MEMBERSHIP_SCORES.keys()
    for name, score in MEMBERSHIP_SCORES.items():
        values = ([score.of_item(item) for item in members], [score.of_item(item) for item in others])
        assert scores[name].auc == auc(*values)
        assert scores[name].ci95[0] <= scores[name].auc <= scores[name].ci95[1]
        assert (scores[name].num_members, scores[name].num_others) == (10, 10)


def test_members_look_like_training_data_when_the_model_was_trained_on_them(overfitted, sets):
    scores = measured(overfitted, sets).scores

    for name, score in scores.items():
        assert score.auc > 0.9, name
        assert score.p_value < 0.01, name


def test_auc_is_below_one_half_when_the_others_were_trained_on(overfitted, sets):
    scores = measured(overfitted, sets[::-1]).scores

    assert all(score.auc < 0.1 for score in scores.values())


def test_rate_is_absent_with_a_reason_when_the_others_are_few(gpt_neo, sets):
    under = measured(gpt_neo, sets)

    assert all(score.tpr_at_1pct_fpr is None for score in under.scores.values())
    assert under.absent == {"reference_difference": "no reference model was given", "tpr_at_1pct_fpr": NO_RATE}


def test_rate_is_there_when_the_others_are_a_hundred(gpt_neo, sets):
    members, others = (evidence_of(gpt_neo, examples) for examples in sets)

    under = membership(members, others * 10)

    assert "tpr_at_1pct_fpr" not in under.absent
    assert all(score.tpr_at_1pct_fpr is not None for score in under.scores.values())


@pytest.mark.parametrize("small", [0, 1])
def test_scores_are_absent_when_a_set_is_small(gpt_neo, sets, small):
    given = [evidence_of(gpt_neo, examples[: 7 if which == small else 10]) for which, examples in enumerate(sets)]

    under = membership(*given)

    assert under.scores == {}
    assert under.absent["loss"] == "a set has 7 items; at least 8 of each are needed"


def test_scores_are_absent_when_a_single_item_is_no_number(gpt_neo, destroyed, sets):
    members, others = (evidence_of(gpt_neo, examples) for examples in sets)

    under = membership([*members[1:], *evidence_of(destroyed, sets[0][:1])], others)

    assert under.scores == {}
    assert under.absent["min_k_plus"] == "the model's scores are not finite numbers"


def test_comparison_names_the_model_that_lacks_a_score(gpt_neo, destroyed, sets):
    result = compare(measured(gpt_neo, sets), measured(destroyed, sets))

    assert set(result.before) == MEMBERSHIP_SCORES.keys() - {"reference_difference"}
    assert result.after == {}
    assert result.absent["loss"] == "after: the model's scores are not finite numbers"
    assert result.absent["tpr_at_1pct_fpr"] == f"before, after: {NO_RATE}"
    assert result.absent["priv_leak"] == "min_k was not measured: the model's scores are not finite numbers"


def test_the_reference_need_not_differ_from_itself():
    without = Membership(found(0.6).scores, {"reference_difference": "no reference model was given"})

    assert compare(found(1.0), found(0.7), without).absent == {}
    assert compare(without, found(0.7), without).absent == {
        "reference_difference": "before: no reference model was given"
    }


def test_comparison_has_the_leak_when_there_is_a_reference():
    result = compare(found(1.0), found(0.7), found(0.6))

    assert result.priv_leak == pytest.approx(-25.0)
    assert result.reference["min_k"].auc == 0.6
    assert result.absent == {}


def test_comparison_has_no_leak_when_there_is_no_reference():
    result = compare(found(1.0), found(0.7))

    assert (result.reference, result.priv_leak) == (None, None)
    assert "reference model" in result.absent["priv_leak"]


def test_comparison_has_no_leak_when_the_reference_lacks_the_score():
    result = compare(found(1.0), found(0.7), Membership({}, {"min_k": "it was not asked"}))

    assert result.priv_leak is None
    assert result.absent.keys() == {"min_k", "priv_leak"}


def test_result_is_the_same_after_json(gpt_neo, sets):
    result = compare(measured(gpt_neo, sets), measured(gpt_neo, sets))

    assert MembershipResult.model_validate_json(result.model_dump_json()) == result
