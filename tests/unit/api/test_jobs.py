import pytest

from core.domain.job import Progress, PublicError, Stage
from core.domain.states import JobState
from tests.fakes.examples import an_event
from tests.unit.api.harness import problem


def test_get_shows_a_queued_job(world, client):
    job = world.add_job()
    body = client.get(f"/v1/jobs/{job.id}").json()
    assert body["method"] == job.spec.method.model_dump()
    assert body["policy"] == job.spec.policy
    del body["method"], body["policy"]
    assert body == {
        "id": job.id,
        "status": "queued",
        "stage": None,
        "is_terminal": False,
        "progress": {"step": 0, "total_steps": 0, "percent": 0.0, "eta_seconds": None},
        "attempts": 0,
        "error": None,
        "base_model": "people/neo-6m",
        "has_adapter": False,
        "adapter_version": None,
        "created_at": "2026-01-02T03:04:06.678901Z",
        "started_at": None,
        "finished_at": None,
    }


def test_get_shows_stage_and_progress_of_a_running_job(world, client):
    running = world.start(world.add_job())
    progress = Progress(step=3, total_steps=8, eta_seconds=2.5)
    world.jobs.record(running.id, fence=1, stage=Stage.TRAIN, progress=progress, events=[])
    body = client.get(f"/v1/jobs/{running.id}").json()
    assert (body["status"], body["stage"], body["attempts"]) == ("running", "train", 1)
    assert body["progress"] == {"step": 3, "total_steps": 8, "percent": 37.5, "eta_seconds": 2.5}


def test_get_shows_why_a_job_failed(world, client):
    running = world.start(world.add_job())
    error = PublicError(code="diverged", message="the loss is not a number")
    world.jobs.save(running, running.ended(JobState.FAILED, now=world.clock(), error=error), [])
    body = client.get(f"/v1/jobs/{running.id}").json()
    assert (body["status"], body["is_terminal"]) == ("failed", True)
    assert body["error"] == {"code": "diverged", "message": "the loss is not a number"}


def test_get_tells_a_job_that_needed_no_action_by_its_lack_of_an_adapter(world, client):
    trained, untouched = world.succeed(world.add_job()), world.end_without_action(world.add_job())

    bodies = [client.get(f"/v1/jobs/{job.id}").json() for job in (trained, untouched)]

    assert [(body["status"], body["has_adapter"]) for body in bodies] == [("succeeded", True), ("succeeded", False)]


def test_get_of_an_unknown_job_is_404_without_its_id(client):
    response = client.get("/v1/jobs/job_feedface")
    problem(response, 404, "not_found")
    assert "feedface" not in response.text


def test_list_filters_by_status_and_base_model(world, client):
    running = world.start(world.add_job())
    world.add_job()
    world.add_job(base_model="other")
    ids = [job["id"] for job in client.get("/v1/jobs", params={"status": "running"}).json()["data"]]
    assert ids == [running.id]
    assert len(client.get("/v1/jobs", params={"base_model": "other"}).json()["data"]) == 1


def test_list_refuses_an_unknown_status_and_cursor(client):
    problem(client.get("/v1/jobs", params={"status": "done"}), 422, "invalid_field", "status")
    problem(client.get("/v1/jobs", params={"after": "job_0"}), 422, "invalid_cursor", "after")


def test_events_can_be_followed_by_seq(world, client):
    job = world.add_job()
    running = world.start(job)
    world.jobs.record(running.id, fence=1, stage=Stage.TRAIN, progress=Progress(), events=[an_event("third")])
    first = client.get(f"/v1/jobs/{job.id}/events", params={"limit": 2}).json()
    assert [event["seq"] for event in first["data"]] == [1, 2]
    assert (first["has_more"], first["last_id"]) == (True, f"{job.id}.2")
    rest = client.get(f"/v1/jobs/{job.id}/events", params={"after_seq": 2}).json()
    assert rest["has_more"] is False
    assert rest["data"] == [
        {
            "id": f"{job.id}.3",
            "seq": 3,
            "type": "job.queued",
            "level": "info",
            "message": "third",
            "data": {},
            "created_at": "2026-01-02T03:04:05.678901Z",
        }
    ]


@pytest.mark.parametrize(("name", "value"), [("after_seq", -1), ("after_seq", 2**31), ("limit", 0), ("limit", 1001)])
def test_events_refuse_impossible_queries(world, client, name, value):
    job = world.add_job()
    problem(client.get(f"/v1/jobs/{job.id}/events", params={name: value}), 422, "invalid_field", name)


def test_cancel_of_a_queued_job_ends_it(world, client):
    job = world.add_job()
    response = client.post(f"/v1/jobs/{job.id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")


def test_cancel_of_a_running_job_can_be_repeated(world, client):
    running = world.start(world.add_job())
    for _ in range(2):
        response = client.post(f"/v1/jobs/{running.id}/cancel")
        assert (response.status_code, response.json()["status"]) == (202, "cancelling")


def test_cancel_of_a_succeeded_job_is_a_conflict(world, client):
    job = world.succeed(world.add_job())
    problem(client.post(f"/v1/jobs/{job.id}/cancel"), 409, "illegal_transition")
