import pytest
from structlog.testing import capture_logs

from core.domain.device import LiveWorker
from core.domain.job import Job
from tests.fakes.clock import START
from tests.fakes.examples import CPU, a_measurement
from tests.unit.api.harness import OTHER_TENANT, a_body, dumped, problem

PATH = "/v1/estimates"


@pytest.fixture
def twin(world, client) -> Job:
    """A job of the same request, which has run twice here."""
    job_id = client.post("/v1/deletion-requests", json=a_body()).json()["job_id"]
    job = world.succeed(world.jobs.job(job_id))
    for seconds in (9.0, 11.0):
        world.measurements.add(a_measurement(job.workload, seconds=seconds))
    world.workers.seen(LiveWorker(owner="host/1", device=CPU, seen_at=START))
    return job


def test_an_estimate_says_what_jobs_like_it_took(client, twin):
    response = client.post(PATH, json=a_body())

    assert response.status_code == 200
    found = response.json()
    assert found["duration_seconds"] == pytest.approx({"low": 80 * 9 / 11, "likely": 80.0, "high": 80 * 11 / 9})
    assert found["start_seconds"] == {"low": 5.0, "likely": 5.0, "high": 5.0}
    assert found["peak_memory_bytes"]["likely"] == 2**30
    assert found["device_memory_bytes"] == CPU.memory_bytes
    assert found["queue_wait_seconds"] == 0.0
    assert found["steps"] == 120
    assert list(found["stages"])[:2] == ["prepare", "baseline"]
    assert found["based_on"]["measurements"] == 2
    assert found["absent"] == {}


def test_what_is_not_known_is_null_and_has_a_reason(client):
    found = client.post(PATH, json=a_body()).json()

    for field in ("duration_seconds", "based_on", "device_memory_bytes", "queue_wait_seconds"):
        assert found[field] is None
        assert found["absent"][field]


def test_an_estimate_stores_nothing(world, client):
    before = dict(world.items.sets)

    client.post(PATH, json=a_body(external_id="case-7"))

    assert world.items.sets == before
    assert world.jobs.unfinished() == ()
    assert world.queue.published == []


def test_jobs_of_other_tenants_count_and_are_not_shown(world, twin):
    waiting = world.add_job(tenant=OTHER_TENANT)
    world.jobs.save(waiting, waiting.model_copy(update={"workload": twin.workload}), [])

    response = world.client().post(PATH, json=a_body())

    assert response.json()["queue_wait_seconds"] == 85.0
    assert OTHER_TENANT not in dumped(response)
    assert waiting.id not in dumped(response)


@pytest.mark.parametrize("path", [PATH, "/v1/deletion-requests"])
def test_a_job_that_no_worker_has_the_memory_for_is_refused_with_the_numbers(world, client, path):
    small = CPU.model_copy(update={"memory_bytes": 16 * 2**20})
    world.workers.seen(LiveWorker(owner="host/1", device=small, seen_at=START))

    detail = problem(client.post(path, json=a_body()), 422, "does_not_fit", "/method")["detail"]

    assert "the largest worker has 16 MiB" in detail
    assert world.jobs.unfinished() == ()


def test_an_estimate_needs_a_key(world):
    problem(world.client(tenant=None).post(PATH, json=a_body()), 401, "unauthenticated")


def test_no_log_line_of_an_estimate_holds_a_text(client):
    with capture_logs() as lines:
        client.post(PATH, json=a_body(forget=[{"text": "my own secret"}]))
    assert "secret" not in str(lines)
