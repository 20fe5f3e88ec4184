import pytest

from core.domain.items import PairItem
from core.domain.policy import POLICIES, PlannedAttack
from core.evaluation.attacks import ATTACKS
from core.evaluation.attacks.relearning import RelearningBudget
from core.evaluation.lessons import VARIANTS
from core.pipeline.attack import attack_of, plan_attacks
from tests.fakes.unlearned_model import FORGET, NEIGHBOURS, scene

PLANNED = [(policy.name, planned) for policy in POLICIES.values() for planned in policy.attacks]


@pytest.mark.parametrize(("policy", "planned"), PLANNED, ids=lambda value: getattr(value, "label", value))
def test_budget_of_a_policy_is_one_that_its_attack_takes(policy, planned):
    attack = attack_of(planned)

    assert type(attack) is type(ATTACKS[planned.name])
    assert all(getattr(attack.budget, name) == value for name, value in planned.budget.items())


GATED = PlannedAttack(name="quantisation", at_most={"extraction_strength": 0.1})
SHOWN = (PlannedAttack(name="prompts"), PlannedAttack(name="sampling", budget={"samples": 1}))


@pytest.fixture(scope="module")
def attacked():
    return scene(forget=FORGET[:2], shots=NEIGHBOURS)


def policy_of(*attacks, share):
    return POLICIES["standard-2"].model_copy(update={"attacks": attacks, "attack_share": share})


def cost(planned, attacked):
    return attack_of(planned).cost(attacked)


def test_attacks_that_are_only_shown_are_made_as_far_as_they_fit_beside_those_with_limits(attacked):
    dear, cheap = SHOWN
    assert cost(dear, attacked) > cost(cheap, attacked)
    policy = policy_of(dear, GATED, cheap, share=0.5)
    enough = 2 * (cost(GATED, attacked) + cost(cheap, attacked))

    plan = plan_attacks(policy, attacked, trained_tokens=enough)

    assert plan.attacks == (GATED, cheap)
    assert plan.left_out == {
        "prompts": f"it would cost {cost(dear, attacked)} forward tokens; of the 0.5 times the training's that policy "
        f"standard-2 allows, {cost(cheap, attacked)} are left"
    }


def test_attacks_with_limits_are_made_whatever_they_cost(attacked):
    plan = plan_attacks(policy_of(GATED, *SHOWN, share=1.0), attacked, trained_tokens=1)

    assert plan.attacks == (GATED,)
    assert plan.left_out.keys() == {"prompts", "sampling"}
    assert plan.left_out["prompts"].endswith("allows, 0 are left")


@pytest.mark.parametrize(("share", "trained"), [(None, 1), (1.0, None), (1.0, 10**9)])
def test_all_attacks_are_made_without_a_bound_or_within_it(attacked, share, trained):
    plan = plan_attacks(policy_of(GATED, *SHOWN, share=share), attacked, trained_tokens=trained)

    assert (plan.attacks, plan.left_out) == ((GATED, *SHOWN), {})


@pytest.mark.parametrize(
    ("policy", "meant"),
    [
        ("standard-2", {"steps": (0, 2, 5, 10), "batch_size": 4}),
        ("strict-1", {"steps": (0, 5, 10, 20, 40), "batch_size": 8}),
    ],
)
def test_policies_of_old_mean_the_attack_that_they_meant(policy, meant):
    """They leave the rest to defaults, which therefore stay: no later change can rewrite what an old report says."""
    (planned,) = [planned for planned in POLICIES[policy].attacks if planned.name == "relearning"]

    assert attack_of(planned).budget == RelearningBudget(
        **meant,
        variants=("forget_part", "neighbours", "benign"),
        learning_rates=(1e-3,),
        rank=16,
        share=0.1,
        max_items=128,
        seed=0,
    )


def test_strict_tries_every_variant_of_relearning_and_standard_the_one_that_gets_most_out():
    tried = {
        policy: [
            variant
            for planned in POLICIES[policy].attacks
            if planned.name == "relearning"
            for variant in attack_of(planned).budget.variants
        ]
        for policy in ("standard-3", "strict-2")
    }
    assert tried["standard-3"] == ["answers"]
    assert sorted(tried["strict-2"]) == sorted(VARIANTS)
    assert tried["strict-2"][0] == "answers"


def test_two_entries_of_one_attack_are_planned_apart(attacked):
    part, rest = (
        PlannedAttack(name="quantisation", budget={"variants": variants})
        for variants in (("int8_base", "nf4_base", "int8_merged"), ("nf4_merged",))
    )
    policy = policy_of(part, rest, share=1.0)

    plan = plan_attacks(policy, attacked, trained_tokens=cost(rest, attacked))

    assert plan.attacks == (rest,)
    assert plan.left_out.keys() == {"quantisation (int8_base, nf4_base, int8_merged)"}


def rows(count, name):
    """Pairs of 25 tokens."""
    return tuple(
        PairItem(id=f"{name}-{place}", prompt=f"Code {name} {place:02} is", completion="uvwxyzabcd.")
        for place in range(count)
    )


def test_answers_normally_fit_beside_the_other_attacks_of_the_standard_policy():
    """A job like the demo's: 35 items, trained for 36 steps of 8 and 8 rows, no reference."""
    attacked = scene(forget=rows(35, "f"), neighbours=rows(60, "n"), holdout=rows(40, "h"), shots=rows(60, "n"))
    tokens = len(attacked.encode(attacked.forget)[0].tokens)
    assert tokens == 25

    plan = plan_attacks(POLICIES["standard-3"], attacked, trained_tokens=3 * 36 * 16 * tokens)

    assert "relearning (answers)" in [planned.label for planned in plan.attacks]
    assert not plan.left_out
