import pytest

from tests.unit.api.harness import OTHER_TENANT, problem


@pytest.fixture
def stranger(world):
    return world.client(OTHER_TENANT)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/{job}"),
        ("GET", "/v1/jobs/{job}/events"),
        ("POST", "/v1/jobs/{job}/cancel"),
        ("GET", "/v1/jobs/{job}/adapter"),
        ("HEAD", "/v1/jobs/{job}/adapter"),
        ("GET", "/v1/jobs/{job}/report"),
        ("HEAD", "/v1/jobs/{job}/report"),
        ("GET", "/v1/deletion-requests/{request}"),
        ("GET", "/v1/probes/{probe}"),
        ("GET", "/v1/probes/{probe}/events"),
        ("POST", "/v1/probes/{probe}/cancel"),
    ],
)
def test_what_is_anothers_is_404(world, client, stranger, method, path):
    job = world.succeed(world.add_job())
    (request,) = world.jobs.requests_of(job.id)
    path = path.format(job=job.id, request=request.id, probe=world.answer(world.add_probe()).id)
    assert client.request(method, path).status_code in {200, 409}
    response = stranger.request(method, path)
    assert response.status_code == 404
    if method != "HEAD":
        problem(response, 404, "not_found")


def test_what_is_anothers_looks_like_what_does_not_exist(world, stranger):
    job = world.add_job()
    theirs, nobodys = stranger.get(f"/v1/jobs/{job.id}").json(), stranger.get("/v1/jobs/job_0").json()
    assert theirs | {"request_id": ""} == nobodys | {"request_id": ""}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/deletion-requests", "/v1/probes"])
def test_lists_hold_ones_own(world, client, stranger, path):
    world.add_job()
    world.add_probe()
    assert len(client.get(path).json()["data"]) == 1
    assert stranger.get(path).json()["data"] == []


def test_anothers_cursor_is_unknown(world, stranger):
    job = world.add_job()
    (request,) = world.jobs.requests_of(job.id)
    problem(stranger.get("/v1/jobs", params={"after": job.id}), 422, "invalid_cursor", "after")
    problem(stranger.get("/v1/deletion-requests", params={"after": request.id}), 422, "invalid_cursor", "after")


def test_cancelling_anothers_job_changes_nothing(world, client, stranger):
    job = world.add_job()
    stranger.post(f"/v1/jobs/{job.id}/cancel")
    assert client.get(f"/v1/jobs/{job.id}").json()["status"] == "queued"
