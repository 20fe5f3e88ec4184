import pytest

from core.domain.policy import POLICIES, PlannedAttack
from core.evaluation.attacks import ATTACKS
from core.pipeline.attack import attack_of, plan_attacks
from tests.fakes.unlearned_model import FORGET, NEIGHBOURS, scene

PLANNED = [(policy.name, planned) for policy in POLICIES.values() for planned in policy.attacks]


@pytest.mark.parametrize(("policy", "planned"), PLANNED, ids=lambda value: getattr(value, "name", value))
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
