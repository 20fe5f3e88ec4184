import io

import httpx
import pytest
from rich.console import Console

from cli.client import ApiClient
from cli.errors import CommandError, UnansweredError
from cli.watch import watch

JOB = {
    "id": "job_1",
    "status": "succeeded",
    "stage": "package",
    "is_terminal": True,
    "progress": {"step": 0, "total_steps": 0, "percent": 0.0, "eta_seconds": None},
    "attempts": 1,
    "error": None,
}
EVENTS = [
    {"type": "job.started", "level": "info", "message": "attempt 1 of 3", "data": {}},
    {"type": "job.metrics", "level": "info", "message": "training", "data": {"forget_loss": 0.123456}},
    {"type": "job.succeeded", "level": "info", "message": "adapter and report are ready", "data": {}},
]


def test_every_event_is_printed_once_also_over_several_pages():
    def handler(request):
        if request.url.path.endswith("/events"):
            after = int(request.url.params["after_seq"])
            page = [
                {**event, "seq": seq, "created_at": "2026-01-02T03:04:05Z"}
                for seq, event in enumerate(EVENTS, start=1)
                if seq > after
            ][:2]
            return httpx.Response(200, json={"data": page})
        return httpx.Response(200, json=JOB)

    printed = io.StringIO()
    client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))

    job = watch(client, "job_1", Console(file=printed, width=100))

    lines = [line for line in printed.getvalue().splitlines() if line.strip()]
    assert job.status == "succeeded"
    assert [line.split()[1] for line in lines] == ["started", "metrics", "succeeded"]
    assert "forget_loss=0.1235" in lines[1]


@pytest.mark.parametrize(
    ("changes", "is_said"),
    [
        ({"has_adapter": False}, True),
        ({"has_adapter": True}, False),
        ({}, False),
        ({"status": "failed", "has_adapter": False}, False),
    ],
)
def test_a_job_that_needed_no_action_is_said_to_have_needed_none(changes, is_said):
    def handler(request):
        return httpx.Response(200, json={"data": []} if request.url.path.endswith("/events") else JOB | changes)

    printed = io.StringIO()
    client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))

    watch(client, "job_1", Console(file=printed, width=100))

    assert ("no action needed" in printed.getvalue()) is is_said


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


def away(request):
    raise httpx.ConnectError("refused")


def restarting(request):
    return httpx.Response(503, json={"code": "unavailable", "detail": "later", "retryable": True})


def watch_through(handler, time):
    client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))
    return watch(client, "job_1", Console(file=io.StringIO()), now=time.now, sleep=time.sleep)


@pytest.mark.parametrize("missing", [away, restarting])
def test_a_job_is_followed_over_calls_without_an_answer(missing):
    times = {"/v1/jobs/job_1": 3, "/v1/jobs/job_1/events": 2}

    def handler(request):
        times[request.url.path] -= 1
        if times[request.url.path] >= 0:
            return missing(request)
        return httpx.Response(200, json={"data": []} if request.url.path.endswith("/events") else JOB)

    assert watch_through(handler, FakeTime()).status == "succeeded"


@pytest.mark.parametrize("missing", [away, restarting])
def test_watching_ends_after_a_minute_without_an_answer(missing):
    time = FakeTime()

    with pytest.raises(UnansweredError):
        watch_through(missing, time)

    assert time.seconds == 60


def test_a_refusal_is_not_asked_for_again():
    time = FakeTime()

    with pytest.raises(CommandError, match="not_found"):
        watch_through(lambda _: httpx.Response(404, json={"code": "not_found", "detail": "no such job"}), time)

    assert time.seconds == 0
