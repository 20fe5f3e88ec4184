import pytest

from bench.attacks.findings import STRENGTH, Findings, Trial
from bench.attacks.page import page
from core.domain.report import AttackOutcome, AttackPoint, AttackResult, QuantisedLayerSummary, Verdict
from tests.unit.core.packaging.reports import make_membership, make_report

STEPS = (0, 10, 40)


def outcome(value, *, course=(), n=10):
    items = {
        f"item-{place}": {STRENGTH: value, "rouge_l_token_recall": value, "exact_match": 0.0} for place in range(n)
    }
    curve = [AttackPoint(x=step, means={STRENGTH: mean}, n=n) for step, mean in zip(STEPS, course, strict=bool(course))]
    return AttackOutcome(items=items, means=dict(items["item-0"]), n=n, curve=curve)


def relearnt(variant, rate, *, unlearned, reference):
    return AttackResult(
        name="relearning",
        variant=variant,
        budget={"steps": 40, "learning_rate": rate, "trained_items": 4},
        attacked=outcome(max(unlearned), course=unlearned),
        reference=outcome(max(reference), course=reference),
        summary={f"steps_to_half_{STRENGTH}": 21.7, f"area_between_{STRENGTH}": 0.345, f"original_{STRENGTH}": 1.0},
        missing={f"reference_steps_to_half_{STRENGTH}": "not reached within 40 steps"},
    )


def on_base(variant, rate, *course):
    return AttackResult(
        name="relearning",
        variant=variant,
        budget={"learning_rate": rate, "trained_items": 4},
        attacked=outcome(max(course), course=course),
        summary={f"steps_to_half_{STRENGTH}": 0.0, f"original_{STRENGTH}": 1.0},
    )


def rounded(*, unlearned, attacked, reference):
    return AttackResult(
        name="quantisation",
        variant="nf4_merged",
        attacked=outcome(attacked),
        unattacked=outcome(unlearned),
        reference=outcome(reference),
        layers=[
            QuantisedLayerSummary(module="a", max_change=5.25, median_change=0.25),
            QuantisedLayerSummary(module="b", max_change=2.0, median_change=0.5),
        ],
    )


def make_findings(*trials, **changes):
    findings = Findings(
        command="python -m bench.attacks",
        commit="abc1234",
        device="one thread of a CPU",
        reference_memorised=0.998,
        trials=list(trials),
    )
    return findings.model_copy(update=changes)


def make_trial(*attacks, relearning=(), base_relearning=(), **report):
    return Trial(
        method="loku",
        seed=42,
        outcome="forgotten",
        report=make_report(attacks=list(attacks), **report),
        relearning=list(relearning),
        base_relearning=list(base_relearning),
    )


def test_page_names_command_commit_device_and_seed():
    text = page(make_findings(make_trial()))

    assert "Made by `python -m bench.attacks` at commit abc1234, on one thread of a CPU." in text
    assert "## loku, seed 42: forgotten" in text


def test_page_shows_the_courses_of_the_strongest_rate_beside_each_other():
    weak = relearnt("forget_part", 1e-3, unlearned=(0.0, 0.1, 0.1), reference=(0.0, 0.0, 0.0))
    strong = relearnt("forget_part", 1e-2, unlearned=(0.0, 0.4, 0.7), reference=(0.0, 0.1, 0.2))
    base = on_base("forget_part", 1e-2, 1.0, 0.9, 0.8)

    text = page(make_findings(make_trial(relearning=[weak, strong], base_relearning=[base])))

    assert "| forget_part | 4, 10 measured | 0.01 | unlearned | 0.000 | 0.400 | 0.700 | 22 |  |" in text
    assert "|  |  |  | reference | 0.000 | 0.100 | 0.200 | not reached within 40 steps | 0.345 |" in text
    assert "|  |  |  | base | 1.000 | 0.900 | 0.800 | 0 |  |" in text
    assert "| forget_part | 0.100 / 0.000 | 0.700 / 0.200 | - |" in text


def test_page_says_that_something_is_left_when_the_unlearned_model_relearns_more():
    result = relearnt("neighbours", 1e-3, unlearned=(0.0, 0.4, 0.7), reference=(0.0, 0.1, 0.2))

    text = page(make_findings(make_trial(relearning=[result])))

    assert "Fine-tuning on other people gets more out of the unlearned model than out of the reference" in text
    assert "+0.500 [+0.500, +0.500]" in text


def beside_unseen(*, low, high):
    control = outcome(0.3, course=(0.1, 0.2, 0.3))
    area, difference = {f"area_between_{STRENGTH}": 0.222}, (low + high) / 2
    numbers = {"difference": difference, "difference_low": low, "difference_high": high}
    return AttackResult(
        name="relearning",
        variant="answers",
        budget={"learning_rate": 1e-3},
        attacked=outcome(0.7),
        control=control,
        summary=area | {f"{name}_{STRENGTH}": value for name, value in numbers.items()},
        missing={f"control_steps_to_half_{STRENGTH}": "not reached within 40 steps"},
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.3, 0.5, "further than with the answers of as many people whom no model saw: +0.400 [+0.300, +0.500]"),
        (-0.1, 0.2, "about as far as with the answers of as many people whom no model saw, within this interval"),
        (-0.4, -0.2, "less far than with the answers"),
    ],
)
def test_page_shows_answers_beside_those_of_unseen_people(low, high, words):
    answers = relearnt("answers", 1e-3, unlearned=(0.0, 0.4, 0.7), reference=(0.0, 0.1, 0.2))
    trial = make_trial(relearning=[answers]).model_copy(update={"unseen_relearning": beside_unseen(low=low, high=high)})

    text = page(make_findings(trial))

    assert "|  |  |  | unseen people | 0.100 | 0.200 | 0.300 | not reached within 40 steps | 0.222 |" in text
    assert words in text


def test_page_says_how_far_a_model_that_never_knew_gets_with_either_people():
    made = beside_unseen(low=-0.2, high=0.1).model_copy(update={"attacked": outcome(0.2, course=(0.0, 0.1, 0.2))})
    failed = AttackResult(name="relearning", variant="answers", absent="fine-tuning diverged")

    text = page(make_findings(clean_relearning=[made, failed]))

    assert "## Unseen people as a control" in text
    assert text.endswith("| 0.001 | 0.200 | 0.300 | -0.050 [-0.200, +0.100] |\n")


def test_page_of_several_trials_begins_with_all_of_them():
    answers = relearnt("answers", 1e-3, unlearned=(0.0, 0.4, 0.7), reference=(0.0, 0.1, 0.2))
    first = make_trial(relearning=[answers]).model_copy(update={"unseen_relearning": beside_unseen(low=0.3, high=0.5)})
    failed = Trial(method="npo", seed=43, outcome="diverged")

    several, alone = page(make_findings(first, failed)), page(make_findings(first))

    header = "| method | seed | outcome | forget_part | neighbours | benign | answers | answers, above unseen people |"
    assert header in several
    assert "| loku | 42 | forgotten | - | - | - | +0.500 [+0.500, +0.500] | +0.400 [+0.300, +0.500] |" in several
    assert "| npo | 43 | diverged | - | - | - | - | - |" in several
    assert header not in alone


def test_page_draws_nothing_from_courses_that_are_alike():
    result = relearnt("neighbours", 1e-3, unlearned=(0.0, 0.1, 0.2), reference=(0.0, 0.1, 0.2))

    text = page(make_findings(make_trial(relearning=[result])))

    assert "does not tell the unlearned model from the reference, within this interval: +0.000" in text


def test_page_says_when_an_attack_destroys_what_it_looks_for():
    result = relearnt("benign", 1e-1, unlearned=(0.0, 0.1, 0.0), reference=(0.0, 0.1, 0.0))
    base = on_base("benign", 1e-1, 1.0, 0.2, 0.1)

    text = page(make_findings(make_trial(relearning=[result], base_relearning=[base])))

    assert "leaves 0.100 of the 1.000 that the base model itself had" in text


def test_page_shows_what_rounding_does_to_each_model_and_how_large_the_change_is():
    attack = rounded(unlearned=0.1, attacked=0.6, reference=0.05)
    of_base = AttackResult(name="quantisation", variant="nf4_base", attacked=outcome(0.99))

    text = page(make_findings(make_trial(attack), base_quantisation=[of_base]))

    assert "| 4 bits, adapter merged | 0.100 | 0.600 | 0.050 | 0.990 | 0.600 |" in text
    assert "is 0.375 in the middle one of 2 layers, and the largest in any is 5.25" in text
    assert "Rounding brings something back: nf4_merged +0.500" in text


def test_page_says_that_no_rise_is_shown_where_rounding_changes_nothing():
    text = page(make_findings(make_trial(rounded(unlearned=0.1, attacked=0.1, reference=0.1))))

    assert "In no deployment is a rise by rounding shown" in text


def test_page_says_by_which_scores_forget_items_are_told_from_unseen_text():
    text = page(make_findings(make_trial(membership=make_membership())))

    assert "| loss | 0.961 [0.911, 0.989] | 0.512 [0.433, 0.591] | 0.123 [0.082, 0.187] |" in text
    assert "They are not told from it, within these intervals, by loss 0.512 [0.433, 0.591]." in text
    assert "PrivLeak -8.2 %" in text


def test_page_says_why_a_verdict_is_not_forgotten():
    trial = make_trial(verdict=Verdict.NOT_FORGOTTEN, verdict_reasons=["extraction_strength is over its limit"])

    assert "Under standard-1: extraction_strength is over its limit." in page(make_findings(trial))


def test_page_of_a_failed_job_shows_no_numbers():
    text = page(make_findings(Trial(method="npo", seed=1, outcome="diverged")))

    assert "## npo, seed 1: diverged" in text
    assert "nothing to attack" in text


def test_page_compares_judging_with_training():
    seconds = {"fisher": 1.0, "initialize": 1.0, "train": 8.0, "baseline": 2.0, "evaluate": 2.0, "attack": 1.0}

    text = page(make_findings(cost=seconds, cost_method="loku", cost_policy="standard"))

    assert "5.0 s on judging" in text
    assert "10.0 s on training" in text
    assert "0.50 of it, no longer than the training" in text
