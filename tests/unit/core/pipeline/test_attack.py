import pytest

from core.domain.policy import POLICIES
from core.evaluation.attacks import ATTACKS
from core.pipeline.attack import attack_of

PLANNED = [(policy.name, planned) for policy in POLICIES.values() for planned in policy.attacks]


@pytest.mark.parametrize(("policy", "planned"), PLANNED, ids=lambda value: getattr(value, "name", value))
def test_budget_of_a_policy_is_one_that_its_attack_takes(policy, planned):
    attack = attack_of(planned)

    assert type(attack) is type(ATTACKS[planned.name])
    assert all(getattr(attack.budget, name) == value for name, value in planned.budget.items())
