import asyncio
import re

import pytest
from structlog.testing import capture_logs

from tests.fakes.examples import TENANT
from tests.unit.api.harness import problem


def test_a_sane_request_id_is_kept(client):
    assert client.get("/healthz", headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("proposed", ["", "a b", "a" * 65, "<script>", "é"])
def test_any_other_request_id_is_replaced(client, proposed):
    given = client.get("/healthz", headers={"X-Request-Id": proposed.encode("latin-1")}).headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{24}", given)


def test_every_answer_has_the_security_headers(client):
    for path in ("/healthz", "/v1/jobs", "/nope"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_the_access_log_holds_the_template_and_nothing_of_the_query(world, client):
    job = world.add_job()
    with capture_logs() as lines:
        response = client.get(f"/v1/jobs/{job.id}/events", params={"limit": 7})
    (line,) = lines
    assert {name: line[name] for name in ("event", "method", "route", "status", "request_id")} == {
        "event": "request",
        "method": "GET",
        "route": "/v1/jobs/{job_id}/events",
        "status": 200,
        "request_id": response.headers["x-request-id"],
    }
    assert line["key_id"].startswith("key_")
    assert line["duration_ms"] >= 0
    assert TENANT not in str(line)


def test_an_unknown_route_is_a_problem(client):
    for path in ("/", "/nope", "/v1/jobs/", "/docs", "/redoc"):
        problem(client.get(path), 404, "unknown_route")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/deletion-requests", "GET, POST"),
        ("PUT", "/v1/jobs/job_1/adapter", "GET, HEAD"),
        ("GET", "/v1/jobs/job_1/cancel", "POST"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
        ("POST", "/openapi.json", "GET"),
        ("BREW", "/v1/jobs", "GET"),
    ],
)
def test_another_method_is_405_with_all_that_are_allowed(client, method, path, allow):
    response = client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_a_bug_is_500_with_its_class_and_place_in_the_log(world, client, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("private")

    monkeypatch.setattr(world.jobs, "list_jobs", broken)
    with capture_logs() as lines:
        response = client.get("/v1/jobs")
    body = problem(response, 500, "internal")
    assert "private" not in response.text
    bug = lines[0]
    assert (bug["error"], bug["request_id"]) == ("ZeroDivisionError", body["request_id"])
    assert any("broken" in frame for frame in bug["frames"])
    assert "private" not in str(lines)


def test_a_client_that_leaves_in_mid_body_is_no_bug(world):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    headers = [(b"authorization", f"Bearer {world.token()}".encode()), (b"content-type", b"application/json")]
    path = "/v1/deletion-requests"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "root_path": ""}
    with capture_logs() as lines:
        asyncio.run(world.app(scope, receive, send))
    assert [(line["event"], line["status"]) for line in lines] == [("request", 499)]


def test_closing_the_application_closes_its_services(world):
    with world.client() as client:
        assert client.get("/healthz").status_code == 200
        assert world.closed == 0
    assert world.closed == 1
