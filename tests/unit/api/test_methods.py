from jsonschema import Draft202012Validator

from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS
from tests.unit.api.harness import problem


def test_every_method_is_listed_with_its_options(client):
    listed = client.get("/v1/methods").json()["data"]

    assert [method["id"] for method in listed] == list(METHOD_OPTIONS)
    assert [method["id"] for method in listed if method["is_default"]] == [DEFAULT_METHOD]
    for method in listed:
        Draft202012Validator.check_schema(method["options"])
        assert set(method["options"]["properties"]) == set(METHOD_OPTIONS[method["id"]].model_fields)
        assert method["summary"].endswith(".")


def test_defaults_of_a_method_satisfy_its_schema(client):
    method = client.get("/v1/methods/simnpo").json()

    defaults = METHOD_OPTIONS["simnpo"]().model_dump(mode="json")
    assert not list(Draft202012Validator(method["options"]).iter_errors(defaults))
    assert method["options"]["properties"]["beta"]["default"] == 1.0


def test_methods_say_which_items_they_take(client):
    listed = {method["id"]: method["needs_items"] for method in client.get("/v1/methods").json()["data"]}

    assert (listed["loku"], listed["dpo_idk"], listed["law"]) == ("any", "prompt", "subject")


def test_unknown_method_is_404(client):
    problem(client.get("/v1/methods/magic"), 404, "not_found")


def test_methods_are_told_to_known_clients_only(world):
    problem(world.client(tenant=None).get("/v1/methods"), 401, "unauthenticated")
