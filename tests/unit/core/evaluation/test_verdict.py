import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.policy import PlannedAttack
from core.domain.report import (
    AttackOutcome,
    AttackResult,
    ForgetThreshold,
    ItemResult,
    MetricChange,
    PerplexityThreshold,
    RetainThreshold,
    SetResult,
    Thresholds,
    Verdict,
)
from core.evaluation.attack_gates import GatedAttack, held_to
from core.evaluation.failure import Failure
from core.evaluation.item_limits import over_by_chance
from core.evaluation.verdict import forget_failures, judge

GATES = Thresholds(
    policy="test-1",
    source="policy",
    forget=[ForgetThreshold(metric="es", at_most=0.06, item_at_most=0.25)],
    retain=[RetainThreshold(metric="ma", at_least_ratio=0.95)],
)
UNIT = st.floats(0, 1)


def measured(before, after, *, metric="es"):
    change = MetricChange(before=sum(before) / len(before), after=sum(after) / len(after), n=len(before))
    items = [
        ItemResult(id=str(place), before={metric: old}, after={metric: new})
        for place, (old, new) in enumerate(zip(before, after, strict=True))
    ]
    return SetResult(num_items=len(items), num_measured=len(items), metrics={metric: change}, absent={}, items=items)


def unmeasured(num_items=2):
    items = [ItemResult(id=str(place), before={"es": 1.0, "ma": 1.0}, after={}) for place in range(num_items)]
    return SetResult(num_items=num_items, num_measured=num_items, metrics={}, absent={"es": "why"}, items=items)


KEPT = measured([1.0, 0.8], [1.0, 0.75], metric="ma")
LOST = measured([1.0, 1.0], [0.9, 0.9], metric="ma")


@pytest.mark.parametrize(
    ("after", "verdict", "forgotten"),
    [
        ([0.0, 0.1], Verdict.FORGOTTEN, (True, True)),
        ([0.0, 0.2], Verdict.PARTLY_FORGOTTEN, (True, False)),  # each passes by itself; the second one carries the mean
        ([0.0, 0.9], Verdict.PARTLY_FORGOTTEN, (True, False)),
        ([0.9, 0.9], Verdict.NOT_FORGOTTEN, (False, False)),
    ],
)
def test_verdict_when_utility_is_kept(after, verdict, forgotten):
    judgement = judge(measured([1.0, 1.0], after), KEPT, GATES)

    assert judgement.verdict is verdict
    assert judgement.forgotten == forgotten
    assert bool(judgement.reasons) is (verdict is not Verdict.FORGOTTEN)


def test_verdict_is_damaged_when_a_retain_gate_fails_even_if_all_is_forgotten():
    judgement = judge(measured([1.0], [0.0]), LOST, GATES)

    assert judgement.verdict is Verdict.DAMAGED
    assert judgement.forgotten == (True,)
    assert judgement.reasons == ("ma of the retain set is at 90.0% of its value before, under 95%",)


@given(before=st.lists(UNIT, min_size=1, max_size=40))
def test_run_that_changed_nothing_never_forgets_what_was_memorised(before):
    verdict = judge(measured(before, before), KEPT, GATES).verdict

    assert verdict is not Verdict.FORGOTTEN or max(before) <= 0.25


def test_item_that_a_low_mean_hides_is_found_when_nothing_changed():
    before = [1.0] + [0.0] * 99  # the mean, 0.01, passes

    judgement = judge(measured(before, before), KEPT, GATES)

    assert judgement.verdict is Verdict.PARTLY_FORGOTTEN
    assert judgement.reasons == ("1 of 100 items are over their own limits for the most part",)


def test_absent_forget_metric_passes_no_gate():
    judgement = judge(unmeasured(), KEPT, GATES)

    assert judgement.verdict is Verdict.NOT_FORGOTTEN
    assert judgement.forgotten == (False, False)
    assert judgement.reasons[0] == "es of the forget set was not measured"


def test_absent_retain_metric_passes_no_gate():
    assert judge(measured([1.0], [0.0]), unmeasured(), GATES).verdict is Verdict.DAMAGED


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_passes_no_gate(value):
    broken = MetricChange.model_construct(before=1.0, after=value, n=1)
    forget = measured([1.0], [0.0]).model_copy(update={"metrics": {"es": broken}})
    retain = KEPT.model_copy(update={"metrics": {"ma": broken}})

    assert judge(forget, KEPT, GATES).verdict is not Verdict.FORGOTTEN
    assert judge(measured([1.0], [0.0]), retain, GATES).verdict is Verdict.DAMAGED


def test_retain_metric_that_was_zero_shows_nothing():
    assert judge(measured([1.0], [0.0]), measured([0.0], [0.0], metric="ma"), GATES).verdict is Verdict.DAMAGED


def surprised(before, after):
    change = MetricChange.model_construct(before=before, after=after, n=9)
    return KEPT.model_copy(update={"metrics": KEPT.metrics | {"perplexity": change}})


def bounded(*names):
    bounds = [PerplexityThreshold(set_name=name, at_most_ratio=2.0) for name in names]
    return GATES.model_copy(update={"perplexity": bounds})


@pytest.mark.parametrize(("after", "verdict"), [(40.0, Verdict.FORGOTTEN), (40.1, Verdict.DAMAGED)])
def test_model_that_can_do_nothing_but_end_a_text_is_damaged_where_the_retain_rows_were_never_known(after, verdict):
    """Its memorization accuracy is that of the ends, before and after."""
    assert judge(measured([1.0], [0.0]), surprised(20.0, after), bounded("retain")).verdict is verdict


@pytest.mark.parametrize(
    ("holdout", "verdict"),
    [
        (surprised(20.0, 21.0), Verdict.FORGOTTEN),
        (surprised(20.0, 500.0), Verdict.DAMAGED),
        (surprised(20.0, math.inf), Verdict.DAMAGED),
        (KEPT, Verdict.DAMAGED),  # it was not measured
        (None, Verdict.DAMAGED),
    ],
)
def test_texts_that_nobody_trained_on_must_not_become_absurd(holdout, verdict):
    judgement = judge(measured([1.0], [0.0]), KEPT, bounded("holdout"), holdout=holdout)

    assert judgement.verdict is verdict
    assert all("perplexity of the holdout set" in reason for reason in judgement.reasons)


def test_no_gate_forgets_nothing():
    judgement = judge(measured([1.0], [1.0]), KEPT, GATES.model_copy(update={"forget": []}))

    assert judgement.verdict is Verdict.NOT_FORGOTTEN
    assert judgement.forgotten == (False,)


def test_each_gate_counts_for_an_item():
    gates = GATES.model_copy(update={"forget": [*GATES.forget, GATES.forget[0].model_copy(update={"metric": "em"})]})

    assert judge(measured([1.0], [0.0]), KEPT, gates).forgotten == (False,)


def test_mark_writes_the_flags_into_the_items():
    forget = measured([1.0, 1.0], [0.0, 0.9])

    marked = judge(forget, KEPT, GATES).mark(forget, GATES)

    assert [item.forgotten for item in marked.items] == [True, False]
    assert [item.was_known for item in marked.items] == [True, True]
    assert [item.forgotten for item in forget.items] == [None, None]


def attacked(values, *, limit, variant="nf4_merged"):
    means = {"es": sum(values.values()) / len(values)}
    outcome = AttackOutcome(items={name: {"es": value} for name, value in values.items()}, means=means, n=len(values))
    result = AttackResult(name="quantisation", variant=variant, attacked=outcome)
    limits = {} if limit is None else {"es": limit}
    return GatedAttack(PlannedAttack(name="quantisation", at_most=limits), [result])


def test_attack_over_its_limit_keeps_a_set_from_being_forgotten():
    forget = measured([1.0, 1.0], [0.0, 0.0])

    judgement = judge(forget, KEPT, GATES, [attacked({"0": 0.2, "1": 0.2}, limit=0.1)])

    assert judgement.verdict is Verdict.NOT_FORGOTTEN
    assert judgement.reasons == ("es of the forget set under quantisation (nf4_merged) is 0.200, over 0.100",)


def test_item_that_an_attack_brings_back_is_not_forgotten():
    forget = measured([1.0, 1.0], [0.0, 0.0])

    judgement = judge(forget, KEPT, GATES, [attacked({"0": 0.0, "1": 0.9}, limit=0.5)])

    assert judgement.verdict is Verdict.PARTLY_FORGOTTEN
    assert judgement.forgotten == (True, False)
    assert judgement.reasons[-1] == "1 of 2 items came back for the most part under attack"


def test_attack_without_limits_decides_nothing():
    forget = measured([1.0, 1.0], [0.0, 0.0])

    assert judge(forget, KEPT, GATES, [attacked({"0": 1.0, "1": 1.0}, limit=None)]).verdict is Verdict.FORGOTTEN


def test_attack_with_limits_that_could_not_be_made_fails():
    planned = PlannedAttack(name="prompts", at_most={"es": 0.1})
    absent = AttackResult(name="prompts", variant="paraphrase", absent="no item has other wordings")

    judgement = judge(measured([1.0, 1.0], [0.0, 0.0]), KEPT, GATES, [GatedAttack(planned, [absent])])

    assert judgement.verdict is Verdict.NOT_FORGOTTEN
    assert judgement.reasons == ("the attack prompts has limits and could not be made",)


def test_attack_limit_on_a_metric_that_the_attack_lacks_fails():
    planned = PlannedAttack(name="quantisation", at_most={"other": 1.0})
    results = attacked({"0": 0.0, "1": 0.0}, limit=1.0).results

    assert judge(measured([1.0, 1.0], [0.0, 0.0]), KEPT, GATES, [GatedAttack(planned, results)]).reasons


def test_base_model_within_all_limits_before_shows_nothing():
    judgement = judge(measured([0.05, 0.05], [0.05, 0.05]), KEPT, GATES)

    assert judgement.verdict is Verdict.NOT_FORGOTTEN
    assert judgement.forgotten == (False, False)
    assert "within all limits before" in judgement.reasons[0]


UNSEEN = measured([0.0, 0.01, 0.02, 0.03, 0.04] * 4, [0.0] * 20)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([0.02, 0.03], Verdict.FORGOTTEN),
        ([0.05, 0.05], Verdict.NOT_FORGOTTEN),  # above every text that it never saw, as before
    ],
)
def test_base_model_within_all_limits_before_must_look_as_if_it_had_never_seen_the_texts(after, verdict):
    assert judge(measured([0.05, 0.05], after), KEPT, GATES, holdout=UNSEEN).verdict is verdict


def test_set_that_was_known_on_average_may_be_forgotten():
    assert judge(measured([0.2, 0.2], [0.0, 0.0]), KEPT, GATES).verdict is Verdict.FORGOTTEN


def test_where_nothing_tells_items_apart_a_failure_of_the_set_is_one_of_each():
    planned = PlannedAttack(name="prompts", at_most={"es": 0.1})
    absent = AttackResult(name="prompts", variant="paraphrase", absent="why")

    judgement = judge(measured([1.0, 1.0], [0.0, 0.0]), KEPT, GATES, [GatedAttack(planned, [absent])])

    assert judgement.forgotten == (False, False)
    assert judgement.verdict is Verdict.NOT_FORGOTTEN


def test_only_a_holdout_set_says_that_an_item_was_not_known():
    forget = measured([1.0, 0.0], [0.0, 0.0])
    from_holdout = GATES.model_copy(update={"chance_over": 0.05})

    by_policy = judge(forget, KEPT, GATES).mark(forget, GATES)
    by_holdout = judge(forget, KEPT, from_holdout).mark(forget, from_holdout)

    assert [item.was_known for item in by_policy.items] == [True, None]
    assert [item.was_known for item in by_holdout.items] == [True, False]


def test_item_that_an_attack_could_not_be_tried_on_fails():
    tried = attacked({"0": 0.0, "1": 0.0}, limit=0.5)
    outcome = tried.results[0].attacked.model_copy(update={"missing": {"2": "too long"}})
    results = [tried.results[0].model_copy(update={"attacked": outcome})]

    judgement = judge(measured([1.0] * 3, [0.0] * 3), KEPT, GATES, [GatedAttack(tried.planned, results)])

    assert judgement.reasons == ("quantisation could not be tried on 1 items",)


def test_item_that_another_variant_reached_is_covered():
    first = attacked({"0": 0.0}, limit=0.5)
    outcome = first.results[0].attacked.model_copy(update={"missing": {"1": "too long"}})
    results = [first.results[0].model_copy(update={"attacked": outcome}), *attacked({"1": 0.0}, limit=0.5).results]

    assert not judge(measured([1.0] * 2, [0.0] * 2), KEPT, GATES, [GatedAttack(first.planned, results)]).reasons


def test_item_that_an_attack_could_not_be_tried_on_is_the_one_that_is_not_forgotten():
    tried = attacked({"0": 0.0, "1": 0.0}, limit=0.5)
    outcome = tried.results[0].attacked.model_copy(update={"missing": {"2": "too long"}})
    results = [tried.results[0].model_copy(update={"attacked": outcome})]

    judgement = judge(measured([1.0] * 3, [0.1, 0.0, 0.0]), KEPT, GATES, [GatedAttack(tried.planned, results)])

    assert judgement.forgotten == (True, True, False)
    assert judgement.verdict is Verdict.PARTLY_FORGOTTEN


def test_items_that_carry_a_failure_are_found_beside_one_that_is_over_by_chance():
    """Each of the first ten is within its own limit and together they are not, whatever the eleventh is."""
    after = [0.24] * 10 + [0.3] + [0.0] * 9

    assert judge(measured([1.0] * 20, after), KEPT, GATES).forgotten == (False,) * 11 + (True,) * 9


def test_items_over_their_limits_under_attack_are_found_beside_one_that_is_over_without():
    forget = measured([1.0] * 40, [0.0] * 39 + [0.3])
    values = {str(at): 0.5 * (at < 20) for at in range(40)}

    judgement = judge(forget, KEPT, GATES, [attacked(values, limit=0.9)])

    assert judgement.forgotten == (False,) * 20 + (True,) * 19 + (False,)


def with_verbatim(thresholds):
    """The same with a gate on a metric that no attack measures."""
    verbatim = ForgetThreshold(metric="vc", at_most=0.0, item_at_most=0.0)
    return thresholds.model_copy(update={"forget": [*thresholds.forget, verbatim]})


def test_items_count_under_an_attack_that_lacks_another_metric_with_a_limit():
    values = {str(at): 0.5 * (at < 3) for at in range(12)}

    judgement = judge(measured([1.0] * 12, [0.0] * 12), KEPT, with_verbatim(GATES), [attacked(values, limit=0.9)])

    assert "3 of 12 items under quantisation (nf4_merged) are over their own limits; by chance 0 may be" in (
        judgement.reasons
    )


def test_more_items_over_their_limits_under_attack_than_by_chance_fail():
    judgement = judge(
        measured([1.0] * 12, [0.0] * 12),
        KEPT,
        GATES,
        [attacked({str(at): 0.5 * (at < 3) for at in range(12)}, limit=0.9)],
    )

    assert judgement.verdict is Verdict.PARTLY_FORGOTTEN
    assert "3 of 12 items under quantisation (nf4_merged) are over their own limits" in judgement.reasons[0]


def test_with_several_tries_more_may_be_over_in_one_of_them():
    assert [over_by_chance(7, tries=tries) for tries in (1, 4)] == [1, 2]  # P(2 or more) is 4.4 %, P(3 or more) 0.4 %


@pytest.mark.parametrize(("under_attack", "verdict"), [(0.3, Verdict.FORGOTTEN), (0.9, Verdict.PARTLY_FORGOTTEN)])
def test_item_that_was_not_known_is_brought_back_by_most_of_it_alone(under_attack, verdict):
    """Just over its limit it is by chance, as one of forty; recited under attack it was there all along."""
    forget = measured([1.0] * 39 + [0.1], [0.0] * 40)
    values = {str(at): 0.0 for at in range(39)} | {"39": under_attack}

    assert judge(forget, KEPT, GATES, [attacked(values, limit=0.9)]).verdict is verdict


def test_item_that_came_over_its_limit_by_chance_alone_is_not_remembered():
    assert judge(measured([1.0] * 39 + [0.1], [0.0] * 39 + [0.3]), KEPT, GATES).verdict is Verdict.FORGOTTEN


def test_item_without_a_metric_that_has_a_limit_is_said_to_lack_it():
    forget = measured([1.0] * 2, [0.0, 0.0])
    blind = forget.items[1].model_copy(update={"after": {}})
    forget = forget.model_copy(update={"items": [forget.items[0], blind]})

    judgement = judge(forget, KEPT, GATES)

    assert judgement.reasons == ("1 of 2 items lack a metric that has a limit",)
    assert judgement.forgotten == (True, False)


def test_attack_is_allowed_what_the_holdout_set_allows_without_one():
    planned = PlannedAttack(name="prompts", at_most={"es": 0.05, "other": 0.05})

    (raised,) = held_to([planned], GATES)

    assert raised.at_most == {"es": 0.06, "other": 0.05}
    assert held_to([raised], GATES.model_copy(update={"forget": []})) == [raised]


def test_of_several_attempts_at_an_item_each_may_be_over_by_chance():
    values = {str(at): 0.5 * (at < 8) for at in range(40)}
    once = attacked(values, limit=0.9)
    outcome = once.results[0].attacked.model_copy(update={"attempts": 4})
    four = GatedAttack(once.planned, [once.results[0].model_copy(update={"attacked": outcome})])
    forget = measured([1.0] * 40, [0.0] * 40)

    assert judge(forget, KEPT, GATES, [once]).verdict is Verdict.PARTLY_FORGOTTEN
    assert judge(forget, KEPT, GATES, [four]).verdict is Verdict.FORGOTTEN  # 18.5 % are over in one of four


def test_of_a_small_set_judged_by_a_policy_no_item_may_be_over():
    few = judge(
        measured([1.0] * 2, [0.0, 0.4]),
        KEPT,
        GATES.model_copy(update={"forget": [GATES.forget[0].model_copy(update={"at_most": 0.3})]}),
    )

    assert few.verdict is Verdict.PARTLY_FORGOTTEN


def test_item_that_is_still_recited_is_not_hidden_by_a_low_mean():
    judgement = judge(measured([1.0] * 40, [0.0] * 39 + [0.9]), KEPT, GATES)

    assert judgement.verdict is Verdict.PARTLY_FORGOTTEN
    assert judgement.reasons == ("1 of 40 items are over their own limits for the most part",)


@pytest.mark.parametrize("share", [0.05, 0.08])
@pytest.mark.parametrize("count", [1, 7, 14, 20, 100, 400])
def test_items_over_by_chance_are_the_binomial_quantile(count, share):
    def more_than(over):
        return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(over + 1, count + 1))

    allowed = over_by_chance(count, share=share)
    assert more_than(allowed) <= 0.05
    assert allowed == 0 or more_than(allowed - 1) > 0.05


def test_a_set_of_any_size_has_a_number_that_may_be_over_by_chance():
    assert over_by_chance(20_000) == pytest.approx(20_000 * 0.05 + 1.645 * math.sqrt(20_000 * 0.05 * 0.95), abs=2)


def test_a_holdout_set_says_how_many_items_may_be_over_any_of_several_limits():
    forget = measured([1.0] * 100, [0.3] * 12 + [0.0] * 88)

    assert judge(forget, KEPT, GATES).verdict is Verdict.PARTLY_FORGOTTEN  # 9 of 100 where one of twenty is over
    assert judge(forget, KEPT, GATES.model_copy(update={"chance_over": 0.1})).verdict is Verdict.FORGOTTEN


def test_few_items_over_their_limits_may_be_chance():
    def verdict(over):
        return judge(measured([1.0] * 100, [0.3] * over + [0.0] * (100 - over)), KEPT, GATES).verdict

    assert verdict(over_by_chance(100)) is Verdict.FORGOTTEN
    assert verdict(over_by_chance(100) + 1) is Verdict.PARTLY_FORGOTTEN


def test_failures_are_none_when_each_mean_is_low_enough():
    assert forget_failures({"es": 0.06}, [], GATES) == []
    assert forget_failures({"es": 0.061}, [], GATES) == [Failure("es of the forget set is 0.061, over 0.060")]
    assert forget_failures({}, [], GATES) == [Failure("es of the forget set was not measured")]
