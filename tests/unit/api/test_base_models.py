from core.domain.base_model import ReferenceModel
from core.domain.catalog import METHOD_OPTIONS
from tests.fakes.examples import a_base_model
from tests.unit.api.harness import problem


def test_get_shows_limits_and_methods_but_not_where_the_model_is_kept(client):
    response = client.get("/v1/base-models/people/neo-6m")
    body = response.json()
    assert body["limits"] == {
        "max_tokens": 256,
        "max_item_characters": 2000,
        "max_forget_items": 5,
        "max_retain_items": 5,
        "max_body_bytes": 20_000,
    }
    assert body["methods"] == list(METHOD_OPTIONS)
    assert (body["num_retain_items"], body["architecture"]) == (400, "GPTNeoForCausalLM")
    assert "/models/neo-6m" not in response.text


def test_get_tells_the_layers_and_whether_there_is_a_reference_but_not_where_it_is_kept(world, client):
    reference = ReferenceModel(source="/models/retrained", revision=None, weights_sha256="cd" * 32)
    world.base_models.add(a_base_model("with").model_copy(update={"reference": reference, "num_layers": None}))

    response = client.get("/v1/base-models/with")
    without = client.get("/v1/base-models/people/neo-6m").json()

    assert (response.json()["has_reference"], response.json()["num_layers"]) == (True, None)
    assert "retrained" not in response.text
    assert (without["has_reference"], without["num_layers"]) == (False, 5)


def test_get_takes_an_id_with_an_encoded_slash(client):
    assert client.get("/v1/base-models/people%2Fneo-6m").json()["id"] == "people/neo-6m"


def test_get_of_an_unknown_or_impossible_id_is_404(client):
    for model_id in ("unknown", "", "..%00", "-x"):
        problem(client.get(f"/v1/base-models/{model_id}"), 404, "not_found")


def test_list_pages_by_id(world, client):
    world.base_models.add(a_base_model("a"))
    first = client.get("/v1/base-models", params={"limit": 1}).json()
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (["a"], True)
    rest = client.get("/v1/base-models", params={"after": first["last_id"]}).json()
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == (["people/neo-6m"], False)
