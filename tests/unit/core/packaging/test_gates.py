import pytest

from core.domain.report import MetricChange, PerplexityThreshold
from core.packaging.gates import gates_of
from tests.unit.core.packaging.reports import make_attack, make_outcome, make_report, make_set

LIMIT = {"extraction_strength": 0.16}


def gate_under(*attacks):
    """The one gate that attacks give."""
    (gate,) = (gate for gate in gates_of(make_report(attacks=list(attacks))) if gate.attack)
    return gate


def quantised(variant, value):
    return make_attack(name="quantisation", variant=variant, attacked=make_outcome({"one": value}), at_most=LIMIT)


def not_made(variant):
    return make_attack(name="quantisation", variant=variant, attacked=None, absent="not made", at_most=LIMIT)


def test_gates_are_of_the_forget_set_then_under_attack_then_of_the_retain_set():
    gates = gates_of(make_report(attacks=[quantised("nf4_base", 0.1)]))

    assert [gate.what for gate in gates] == [
        "Forget set: extraction strength",
        "Forget set: answer probability",
        "Forget set, attacked by quantisation: extraction strength",
        "Retain set: memorization accuracy",
    ]


def test_attack_is_held_to_its_limit_by_its_worst_variant():
    gate = gate_under(quantised("int8_base", 0.03), quantised("nf4_merged", 0.21), quantised("nf4_base", 0.11))

    assert (gate.after, gate.limit, gate.holds) == (0.21, "at most 0.160", False)
    assert gate.detail == "After is the worst of 3 variants: 4 bits, adapter merged."
    assert gate.origin == "policy standard-1"


def test_limit_that_the_holdout_set_has_raised_says_so():
    attack = make_attack(at_most={"extraction_strength": 0.081})  # that of the forget set without an attack

    assert gate_under(attack).origin == "holdout set: mean 0.052, 95 % interval 0.031 to 0.081, as without an attack"


@pytest.mark.parametrize(("value", "holds"), [(0.16, True), (0.161, False)])
def test_limit_itself_holds(value, holds):
    assert gate_under(quantised("nf4_base", value)).holds == holds


def test_variant_that_could_not_be_made_is_counted():
    gate = gate_under(quantised("int8_base", 0.03), not_made("nf4_base"))

    assert gate.holds
    assert gate.detail == "After is the only variant: 8 bits, adapter beside it. 1 more could not be made."


def test_attack_that_could_not_be_made_at_all_does_not_hold():
    gate = gate_under(not_made("int8_base"), not_made("nf4_base"))

    assert gate.after is None
    assert not gate.holds
    assert "what was not measured does not hold" in gate.detail


def test_variant_without_a_value_of_the_limited_metric_is_the_worst():
    blind = quantised("nf4_base", 0.0).model_copy(
        update={"attacked": make_outcome({"one": 0.0}).model_copy(update={"means": {}})}
    )

    gate = gate_under(quantised("int8_base", 0.03), blind)

    assert gate.after is None
    assert not gate.holds


def test_attack_without_a_limit_is_no_gate():
    assert not [gate for gate in gates_of(make_report(attacks=[make_attack()])) if gate.attack]


def test_attack_that_is_made_in_one_way_has_no_variant_to_name():
    attack = make_attack(name="sampling", variant="sampling", at_most={"extraction_strength": 0.9})

    assert gate_under(attack).detail == ""


@pytest.mark.parametrize(("after", "holds"), [(40.0, True), (41.0, False), (None, False)])
def test_texts_that_were_not_to_be_forgotten_have_a_limit_on_their_surprise(after, holds):
    change = {} if after is None else {"perplexity": MetricChange(before=20.0, after=after, n=9)}
    holdout = make_set(before=0.1, after=0.1, ids=("never",)).model_copy(update={"metrics": change})
    report = make_report(holdout=holdout)
    bound = PerplexityThreshold(set_name="holdout", at_most_ratio=2.0)
    thresholds = report.thresholds.model_copy(update={"perplexity": [bound]})

    *_, gate = gates_of(report.model_copy(update={"thresholds": thresholds}))

    assert (gate.what, gate.holds, gate.after) == ("Holdout set: perplexity", holds, after)
    assert gate.limit == ("at most 2 times before" if after is None else "at most 2 times before, 40.000")


def test_gate_on_rows_that_were_trained_on_says_what_it_does_not_show():
    *_, gate = gates_of(make_report(retain_rows_unseen=False))

    assert "of anything else this says nothing" in gate.meaning
