from threading import Event

import pytest

from api.readiness import PartState, Probe, Readiness
from tests.unit.api.harness import problem


def test_healthz_answers_whatever_else_is_away(world, client):
    world.database_is_away = world.queue.away = world.artifacts.away = True
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_names_every_part(client):
    parts = {"database": "up", "broker": "up", "store": "up"}
    assert client.get("/readyz").json() == {"status": "ready", "parts": parts}


@pytest.mark.parametrize("part", ["database", "broker", "store"])
def test_readyz_is_503_and_names_the_part_that_is_down(world, client, part):
    world.database_is_away = part == "database"
    world.queue.away = part == "broker"
    world.artifacts.away = part == "store"
    body = problem(client.get("/readyz"), 503, "unavailable")
    assert body["parts"] == dict.fromkeys(["database", "broker", "store"], "up") | {part: "down"}
    assert "away" not in body["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_answer_head_without_a_body(client, path):
    response = client.head(path)
    assert (response.status_code, response.content) == (200, b"")


def test_head_of_readyz_is_503_without_a_body(world, client):
    world.queue.away = True
    response = client.head("/readyz")
    assert (response.status_code, response.content) == (503, b"")


def test_readiness_answers_in_time_when_a_part_hangs():
    release = Event()
    readiness = Readiness({"store": Probe(release.wait), "broker": Probe(lambda: None)}, timeout_seconds=0.05)
    assert readiness() == {"store": PartState.SILENT, "broker": PartState.UP}
    release.set()


def test_probe_asks_a_hanging_part_once():
    release, asked = Event(), []

    def hang():
        asked.append(1)
        release.wait()

    probe = Probe(hang)
    first, second = probe.ask(), probe.ask()
    assert first is second
    release.set()
    first.result(timeout=5)
    probe.ask().result(timeout=5)
    assert len(asked) == 2
