import pytest

from core.domain.policy import DEFAULT_POLICY, POLICIES, current
from tests.unit.api.harness import problem


def test_every_version_of_every_policy_is_listed(client):
    listed = client.get("/v1/policies").json()

    assert [policy["id"] for policy in listed["data"]] == list(POLICIES)
    assert listed["has_more"] is False


def test_the_version_that_a_request_gets_is_told(client):
    listed = client.get("/v1/policies").json()["data"]

    newest = {policy["name"]: policy["id"] for policy in listed if policy["is_current"]}
    assert newest == {name: current(name).name for name in ("fast", "standard", "strict")}
    assert [policy["id"] for policy in listed if policy["is_default"]] == [current(DEFAULT_POLICY).name]


@pytest.mark.parametrize("policy_id", POLICIES)
def test_a_policy_is_told_as_its_file_says(client, policy_id):
    policy = POLICIES[policy_id]

    body = client.get(f"/v1/policies/{policy_id}").json()

    assert f"{body['name']}-{body['version']}" == body["id"] == policy_id
    assert (body["needs_holdout"], body["membership"]) == (policy.needs_holdout, policy.membership)
    assert body["metrics"] == list(policy.metrics)
    assert body["forget"] == [gate.model_dump() for gate in policy.forget]
    assert body["retain"] == [threshold.model_dump() for threshold in policy.retain]
    assert [(attack["name"], attack["at_most"]) for attack in body["attacks"]] == [
        (attack.name, attack.at_most) for attack in policy.attacks
    ]
    assert body["summary"] == " ".join(policy.summary.split())


@pytest.mark.parametrize("name", ["standard", "standard-999", "Standard-1"])
def test_unknown_policy_is_404(client, name):
    problem(client.get(f"/v1/policies/{name}"), 404, "not_found")


def test_policies_are_told_to_known_clients_only(world):
    problem(world.client(tenant=None).get("/v1/policies"), 401, "unauthenticated")
