from core.packaging.gaps import Gap, gaps_of
from tests.unit.core.packaging.reports import make_attack, make_membership, make_outcome, make_report, make_set


def test_absent_metric_names_its_set():
    gaps = gaps_of(make_report())

    assert Gap("Extraction likelihood, forget set", "no item is long enough") in gaps
    assert Gap("Extraction likelihood, retain set", "no item is long enough") in gaps


def test_metric_that_some_items_lack_says_some():
    some = make_set(before=1.0, after=0.1, ids=("one",)).model_copy(update={"absent": {"extraction_strength": "short"}})

    assert Gap("Extraction strength, forget set, some items", "short") in gaps_of(make_report(forget=some))


def test_items_that_were_not_measured_are_counted():
    fewer = make_set(before=1.0, after=0.1, ids=("one", "two", "three")).model_copy(update={"num_measured": 1})

    assert Gap("2 of 3 items of the retain set", "not measured") in gaps_of(make_report(retain=fewer))


def test_whole_sections_that_are_missing_are_gaps():
    told = {gap.what for gap in gaps_of(make_report(holdout=None))}

    assert {"Holdout set", "Truth ratio", "Forget quality", "Exposure", "Membership inference", "Attacks"} <= told


def test_reason_that_the_report_gives_is_used_once():
    gaps = gaps_of(make_report(not_measured={"membership": "no holdout set", "relearning": "left out"}))

    assert Gap("Membership inference", "no holdout set") in gaps
    assert Gap("Attack: relearning", "left out") in gaps
    assert "Attacks" not in {gap.what for gap in gaps}
    assert [gap.what for gap in gaps].count("Membership inference") == 1


def test_membership_says_what_it_lacks():
    gaps = gaps_of(make_report(membership=make_membership(reference=None)))

    what = "Membership inference: difference to a reference"
    assert Gap(what, "before: no reference model was given") in gaps
    assert Gap("Membership inference under a reference", "there is no model trained without the forget set") in gaps


def test_items_that_an_attack_missed_are_counted_by_reason():
    missing = {"three": "too long", "four": "too long", "five": "no prompt"}
    attacked = make_outcome({"one": 0.1}).model_copy(update={"missing": missing})

    gaps = gaps_of(make_report(attacks=[make_attack(attacked=attacked)]))

    assert Gap("Relearning: on texts of the same kind, 2 items", "too long") in gaps
    assert Gap("Relearning: on texts of the same kind, 1 item", "no prompt") in gaps


def test_variants_that_a_policy_left_out_are_named():
    gaps = gaps_of(
        make_report(not_measured={"relearning (answers, benign, hypnosis)": "it would cost 9 forward tokens"})
    )

    what = "Attack: relearning, on the answers themselves, on unrelated texts, hypnosis"
    assert Gap(what, "it would cost 9 forward tokens") in gaps
    assert "Attacks" not in {gap.what for gap in gaps}


def test_unseen_items_that_an_attack_missed_are_counted():
    control = make_outcome({"other": 0.1}).model_copy(update={"missing": {"a": "not finite"}})

    gaps = gaps_of(make_report(attacks=[make_attack(variant="answers", control=control)]))

    assert Gap("Relearning: on the answers themselves, unseen texts, 1 item", "not finite") in gaps


def of_prompts(variant, **changes):
    return make_attack(name="prompts", variant=variant, at_most={"extraction_strength": 0.2}, **changes)


def test_variant_that_could_not_be_made_says_what_the_limit_was_held_to():
    absent = {variant: of_prompts(variant, attacked=None, absent="why") for variant in ("paraphrase", "few_shot")}

    some = gaps_of(make_report(attacks=[*absent.values(), of_prompts("role_play"), of_prompts("prefix_injection")]))
    none = gaps_of(make_report(attacks=list(absent.values())))
    shown = gaps_of(make_report(attacks=[make_attack(attacked=None, absent="why"), of_prompts("role_play")]))

    held = "why; the limit of the attack was held to its other variants alone: a role, a willing reply"
    assert Gap("Prompts: other words", held) in some
    assert Gap("Prompts: examples", held) in some
    reason = "why; since no variant of the attack could be made, its limit did not hold"
    assert Gap("Prompts: other words", reason) in none
    assert Gap("Relearning: on texts of the same kind", "why") in shown


def test_items_that_an_attack_was_not_tried_on_are_counted():
    outcome = make_outcome({"one": 0.1}).model_copy(update={"missing": {"two": "too long"}})
    forget = make_set(before=1.0, after=0.0, ids=("one", "two", "three", "four"))

    gaps = gaps_of(make_report(forget=forget, attacks=[make_attack(attacked=outcome)]))

    title = "Relearning: on texts of the same kind"
    assert Gap(f"{title}, 2 items", "not among the items that the attack was tried on") in gaps
    assert Gap(f"{title}, 1 item", "too long") in gaps
