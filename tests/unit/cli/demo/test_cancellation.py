import httpx
import pytest

from cli.client import ApiClient
from cli.demo.cancellation import cancelled_on_error

JOB = {
    "id": "job_1",
    "status": "cancelling",
    "stage": "train",
    "is_terminal": False,
    "progress": {"step": 0, "total_steps": 0, "percent": 0.0, "eta_seconds": None},
    "attempts": 1,
    "error": None,
}
CANCELLED = {**JOB, "status": "cancelled", "is_terminal": True}


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Api:
    """Gives its answers in order, the last one for ever, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, request):
        self.asked.append((request.method, request.url.path))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def leave_by(error, api, time):
    client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(api)))
    with cancelled_on_error(client, "job_1", now=time.now, sleep=time.sleep):
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_the_job_is_cancelled_and_waited_for_on_an_error(error):
    busy = httpx.Response(503, json={"code": "stale_job", "detail": "again", "retryable": True})
    api = Api(busy, httpx.Response(202, json=JOB), httpx.Response(202, json=CANCELLED))

    with pytest.raises(type(error)):
        leave_by(error, api, FakeTime())

    assert api.asked == [("POST", "/v1/jobs/job_1/cancel")] * 3


def test_nothing_is_cancelled_without_an_error():
    api = Api(httpx.Response(202, json=CANCELLED))

    leave_by(None, api, FakeTime())

    assert api.asked == []


@pytest.mark.parametrize(
    "answer", [httpx.ConnectError("refused"), httpx.Response(202, json=JOB), httpx.Response(202, text="<html>")]
)
def test_a_job_that_does_not_end_is_left_after_ten_seconds_with_the_error_as_it_was(answer):
    time = FakeTime()

    with pytest.raises(RuntimeError, match="broken"):
        leave_by(RuntimeError("broken"), Api(answer), time)

    assert time.seconds <= 10


def test_a_job_that_has_ended_already_is_asked_once():
    api = Api(httpx.Response(409, json={"code": "illegal_transition", "detail": "the job has ended"}))

    with pytest.raises(RuntimeError, match="broken"):
        leave_by(RuntimeError("broken"), api, FakeTime())

    assert len(api.asked) == 1
