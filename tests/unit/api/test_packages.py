from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from tests.unit.api.harness import REPORT_HTML, REPORT_JSON, ZIP, problem

ETAG = f'"{sha256(ZIP).hexdigest()}"'
SIZE = len(ZIP)


@pytest.fixture
def adapter(world):
    return f"/v1/jobs/{world.succeed(world.add_job()).id}/adapter"


@pytest.fixture
def report(world):
    return f"/v1/jobs/{world.succeed(world.add_job()).id}/report"


def test_adapter_is_the_zip_with_its_digest(client, adapter):
    response = client.get(adapter)
    assert (response.status_code, response.content) == (200, ZIP)
    headers = response.headers
    assert (headers["etag"], headers["accept-ranges"], headers["content-length"]) == (ETAG, "bytes", str(SIZE))
    assert headers["content-type"] == "application/zip"
    assert headers["cache-control"] == "private, no-cache"
    assert headers["content-disposition"].startswith('attachment; filename="job_')


def test_adapter_answers_head_with_the_same_headers(client, adapter):
    whole, head = client.get(adapter), client.head(adapter, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "accept-ranges", "content-disposition"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=5000-", 5000, SIZE - 1),
        ("bytes=-100", SIZE - 100, SIZE - 1),
        ("bytes=-999999", 0, SIZE - 1),
        (f"bytes=4000-{SIZE * 2}", 4000, SIZE - 1),
        (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
        (f"bytes=4000-{'9' * 5000}", 4000, SIZE - 1),
        (f"bytes=-{'9' * 5000}", 0, SIZE - 1),
        (f"bytes={'0' * 5000}1-{'0' * 30}2", 1, 2),
        ("Bytes= 4095-4096", 4095, 4096),
    ],
)
def test_one_range_is_206(client, adapter, asked, first, last):
    response = client.get(adapter, headers={"Range": asked})
    assert (response.status_code, response.content) == (206, ZIP[first : last + 1])
    assert response.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert response.headers["content-length"] == str(last - first + 1)
    assert response.headers["etag"] == ETAG


@pytest.mark.parametrize(
    "asked",
    [
        f"bytes={SIZE}-",
        f"bytes={'9' * 5000}-",
        "bytes=9-3",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes=a-b",
        "bytes",
        "bytes=1-2-3",
        "bytes=--1",
    ],
)
def test_a_bad_range_is_416_with_the_size(client, adapter, asked):
    response = client.get(adapter, headers={"Range": asked})
    problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "items"])
def test_several_ranges_and_other_units_get_the_whole(client, adapter, asked):
    response = client.get(adapter, headers={"Range": asked})
    assert (response.status_code, response.content) == (200, ZIP)


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"old", {ETAG}', "*"])
def test_a_known_file_is_304_without_a_body(client, adapter, known):
    response = client.get(adapter, headers={"If-None-Match": known, "Range": "bytes=0-1"})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == ETAG


def test_an_old_file_is_sent_anew(client, adapter):
    assert client.get(adapter, headers={"If-None-Match": '"old"'}).status_code == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), ('"old"', 200), (f"W/{ETAG}", 200), ("Fri, 02 Jan 2026 03:04:05 GMT", 200)],
)
def test_a_range_under_a_condition_is_a_part_only_of_the_same_file(client, adapter, condition, status):
    assert client.get(adapter, headers={"Range": "bytes=0-1", "If-Range": condition}).status_code == status


def test_a_download_can_be_resumed(client, adapter):
    head = client.get(adapter, headers={"Range": "bytes=0-6000"}).content
    tail = client.get(adapter, headers={"Range": "bytes=6001-", "If-Range": ETAG}).content
    assert head + tail == ZIP


@pytest.mark.parametrize("name", ["adapter", "report"])
def test_nothing_is_delivered_before_success(world, client, name):
    queued = world.add_job()
    problem(client.get(f"/v1/jobs/{queued.id}/{name}"), 409, "not_ready")
    running = world.start(queued)
    problem(client.get(f"/v1/jobs/{running.id}/{name}"), 409, "not_ready")


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-1"}])
def test_a_file_that_the_store_lost_is_500_and_not_half_an_answer(world, client, adapter, asked):
    world.artifacts.artifacts.clear()
    with capture_logs() as lines:
        problem(client.get(adapter, headers=asked), 500, "artifact_missing")
    assert lines[0]["error"] == "ArtifactMissingError"


def test_a_store_that_is_away_is_503(world, client, adapter):
    world.artifacts.away = True
    problem(client.get(adapter), 503, "unavailable")


@pytest.mark.parametrize(
    ("accept", "media_type", "content"),
    [
        (None, "application/json", REPORT_JSON),
        ("*/*", "application/json", REPORT_JSON),
        ("application/json", "application/json", REPORT_JSON),
        ("text/html", "text/html", REPORT_HTML),
        ("text/html;q=0.5, application/json;q=0.4", "text/html", REPORT_HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html", REPORT_HTML),
    ],
)
def test_report_comes_in_the_form_that_is_accepted(client, report, accept, media_type, content):
    client.headers.pop("accept", None)
    response = client.get(report, headers={} if accept is None else {"Accept": accept})
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-type"].startswith(media_type)
    assert response.headers["vary"] == "Accept"
    assert response.headers["etag"] == f'"{sha256(content).hexdigest()}"'


def test_report_is_406_when_no_form_is_accepted(client, report):
    refused = problem(client.get(report, headers={"Accept": "application/pdf"}), 406, "not_acceptable")
    assert "text/html" in refused["detail"]


def test_report_that_is_known_is_304_and_still_varies(client, report):
    etag = client.get(report).headers["etag"]
    response = client.get(report, headers={"If-None-Match": etag})
    assert (response.status_code, response.headers["vary"]) == (304, "Accept")


def test_report_answers_head(client, report):
    assert client.head(report).headers["content-length"] == str(len(REPORT_JSON))


def test_job_that_needed_no_action_has_a_report_and_no_adapter(world, client):
    job = world.end_without_action(world.add_job())

    problem(client.get(f"/v1/jobs/{job.id}/adapter"), 404, "no_adapter")
    assert client.get(f"/v1/jobs/{job.id}/report").status_code == 200
    (request,) = world.jobs.requests_of(job.id)
    body = client.get(f"/v1/deletion-requests/{request.id}").json()
    assert (body["status"], body["is_terminal"]) == ("no_action_needed", True)
    assert body["dispositions"]["no_action_needed"] == body["num_items"]
