import pytest

from core.domain.api_key import key_id_of, mint
from tests.fakes.examples import TENANT
from tests.unit.api.harness import problem


def test_a_valid_key_opens(client):
    assert client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic YWRhOnB3", "Bearer lethe_é"])
def test_anything_but_a_key_is_401_with_a_challenge(world, header):
    client = world.client(tenant=None)
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    response = client.get("/v1/jobs", headers=headers)
    problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="lethe"'


def test_a_key_that_was_never_stored_is_401(world):
    _, token = mint(TENANT, b"another secret", world.clock())
    response = world.client(tenant=None).get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    problem(response, 401, "unauthenticated")
    assert token not in response.text


def test_a_wrong_secret_under_a_known_id_is_401(world):
    token = world.token()
    forged = token[:-4] + ("0000" if token[-4:] != "0000" else "1111")
    response = world.client(tenant=None).get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})
    problem(response, 401, "unauthenticated")


def test_a_revoked_key_is_answered_as_one_that_was_never_stored(world):
    token = world.token()
    _, never_stored = mint(TENANT, b"another secret", world.clock())
    revoked = world.client(tenant=None)
    revoked.headers["Authorization"] = f"Bearer {token}"
    assert revoked.get("/v1/jobs").status_code == 200

    world.api_keys.revoke(key_id_of(token), at=world.clock())

    refused = revoked.get("/v1/jobs")
    unknown = revoked.get("/v1/jobs", headers={"Authorization": f"Bearer {never_stored}"})
    problem(refused, 401, "unauthenticated")
    assert {**refused.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def test_another_key_of_the_tenant_still_opens_after_one_is_revoked(world, client):
    world.api_keys.revoke(key_id_of(world.token()), at=world.clock())

    assert client.get("/v1/jobs").status_code == 200


def test_authentication_comes_before_the_body(world):
    response = world.client(tenant=None).post("/v1/deletion-requests", content=b"{", headers={"Content-Type": "x/y"})
    problem(response, 401, "unauthenticated")


def routes_under_v1(world):
    paths = world.app.openapi()["paths"]
    asked = [(path, method) for path, operations in paths.items() for method in operations if path.startswith("/v1/")]
    assert asked
    return asked


def test_every_route_under_v1_asks_for_a_key(world):
    client = world.client(tenant=None)
    for path, method in routes_under_v1(world):
        assert client.request(method.upper(), path.replace("{", "").replace("}", "")).status_code == 401


def test_every_route_under_v1_looks_the_key_up(world):
    client = world.client(tenant=None)
    _, never_stored = mint(TENANT, b"another secret", world.clock())
    client.headers["Authorization"] = f"Bearer {never_stored}"
    for path, method in routes_under_v1(world):
        assert client.request(method.upper(), path.replace("{", "").replace("}", "")).status_code == 401
