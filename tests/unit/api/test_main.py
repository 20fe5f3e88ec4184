import pytest
from starlette.testclient import TestClient

from api.main import create_app
from core.backends.sql.api_key_repository import SqlApiKeyRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.migrate import upgrade
from core.domain.api_key import mint
from tests.fakes.clock import START
from tests.unit.api.harness import SECRET_KEY, problem, settings


@pytest.fixture
def deployment(tmp_path):
    """Settings of a machine whose broker is down: nothing listens on a socket that does not exist."""
    return settings(
        database_url=f"sqlite:///{tmp_path}/lethe.db",
        store_url=f"file://{tmp_path}/store",
        broker_url=f"redis+socket://{tmp_path}/no.sock",
    )


def test_create_app_serves_over_real_backends(deployment):
    url = deployment.database_url.get_secret_value()
    upgrade(url)
    key, token = mint("acme", SECRET_KEY.encode(), START)
    engine = open_engine(url)
    SqlApiKeyRepository(engine).add(key)
    engine.dispose()
    with TestClient(create_app(deployment)) as client:
        listed = client.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
        assert (listed.status_code, listed.json()["data"]) == (200, [])
        ready = problem(client.get("/readyz"), 503, "unavailable")
        assert ready["parts"] == {"database": "up", "broker": "down", "store": "up"}


def test_a_database_that_was_never_migrated_is_not_ready(deployment):
    with TestClient(create_app(deployment)) as client:
        assert client.get("/readyz").json()["parts"]["database"] == "down"


def test_a_database_error_of_the_driver_is_503(deployment):
    with TestClient(create_app(deployment)) as client:
        _, token = mint("acme", SECRET_KEY.encode(), START)
        headers = {"Authorization": f"Bearer {token}"}
        problem(client.get("/v1/jobs", headers=headers), 503, "unavailable")
