"""A probe as its users see it: over HTTP, on a real broker, in real processes, on a model that knows some people."""

import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from cli.demo.service import items_of
from tests.e2e.conftest import Deployed

SENTINEL = "Argentinosaurus-4417"
WITHIN_SECONDS = 120


@pytest.fixture
def api(deployed):
    headers = {"Authorization": f"Bearer {deployed.key}"}
    with httpx.Client(base_url=deployed.stack.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def ended(deployed: Deployed, api: httpx.Client, path: str) -> dict:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        body = api.get(path).json()
        if body["is_terminal"]:
            assert body["status"] == "succeeded", body
            return body
        assert time.monotonic() < deadline, body
        deployed.stack.keep_alive()
        time.sleep(0.1)


def probed(deployed: Deployed, api: httpx.Client, **more: object) -> dict:
    """The answer for people that the model knows by heart, others that it never saw, and a sentence of nobody's."""
    known = [item.model_dump(exclude_none=True) for item in items_of(deployed.population.forget)]
    unseen = [item.model_dump(exclude_none=True) for item in items_of(deployed.population.holdout[:1])]
    items = [item | {"id": f"known-{place}"} for place, item in enumerate(known)]
    items += [item | {"id": f"unseen-{place}"} for place, item in enumerate(unseen)]
    items.append({"id": "sentinel", "text": f"The secret of the house is {SENTINEL}, said nobody."})
    asked = api.post("/v1/probes", json={"base_model": deployed.model.id, "items": items, **more})
    assert asked.status_code == 202, asked.text
    return ended(deployed, api, asked.headers["location"])


def stored_for(deployed: Deployed, probe_id: str) -> int:
    with closing(sqlite3.connect(deployed.data_dir / "lethe.db")) as connection:
        return connection.execute("SELECT count(*) FROM item_sets WHERE owner = ?", [probe_id]).fetchone()[0]


def test_probe_tells_what_the_model_knows_and_its_texts_are_destroyed(deployed, api):
    probe = probed(deployed, api)

    memorised = {item["id"]: item["memorised"] for item in probe["result"]["items"]}
    known = [answer for name, answer in memorised.items() if name.startswith("known")]
    assert sum(known) > 0.7 * len(known), probe["result"]
    assert memorised["sentinel"] is False
    unseen = [answer for name, answer in memorised.items() if name.startswith("unseen")]
    assert sum(unseen) < 0.5 * len(unseen), probe["result"]
    deadline = time.monotonic() + WITHIN_SECONDS
    while stored_for(deployed, probe["id"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for file in deployed.data_dir.rglob("*"):
        if file.is_file() and not file.name.startswith("lethe.db"):
            assert SENTINEL.encode() not in file.read_bytes(), file


def test_probe_puts_on_the_adapter_of_a_job(deployed, api):
    forget = [item.model_dump(exclude_none=True) for item in items_of(deployed.population.forget)]
    body = {"base_model": deployed.model.id, "forget": forget, "method": {"name": "loku", "max_steps": 2}}
    job_id = api.post("/v1/deletion-requests", json=body).json()["job_id"]
    ended(deployed, api, f"/v1/jobs/{job_id}")
    adapter = api.head(f"/v1/jobs/{job_id}/adapter").headers["etag"].strip('"')

    result = probed(deployed, api, job_id=job_id)["result"]

    assert (result["job_id"], result["adapter_sha256"]) == (job_id, adapter)
