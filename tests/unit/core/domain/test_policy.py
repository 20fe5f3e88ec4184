from typing import get_args

import pytest

from core.domain.policy import DEFAULT_POLICY, POLICIES, PolicyName, current


def test_each_name_has_a_newest_version():
    newest = [current(name) for name in get_args(PolicyName)]

    assert [policy.name.rpartition("-")[0] for policy in newest] == list(get_args(PolicyName))
    assert current(DEFAULT_POLICY).version == max(
        policy.version for policy in POLICIES.values() if policy.name.startswith("standard-")
    )


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_what_decides_is_measured(policy):
    assert {gate.metric for gate in [*policy.forget, *policy.retain]} <= set(policy.metrics)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_a_set_may_show_less_than_a_single_item(policy):
    assert all(gate.at_most <= gate.holdout_at_most and gate.at_most <= gate.item_at_most for gate in policy.forget)


def test_strict_asks_for_no_less_than_standard():
    strict, standard = current("strict"), current("standard")
    theirs = {gate.metric: gate for gate in standard.forget}

    for gate in strict.forget:
        if gate.metric in theirs:
            assert gate.at_most <= theirs[gate.metric].at_most
            assert gate.item_at_most <= theirs[gate.metric].item_at_most
    assert theirs.keys() <= {gate.metric for gate in strict.forget}
    assert {attack.name for attack in standard.attacks} <= {attack.name for attack in strict.attacks}
    assert strict.needs_holdout
