import httpx
import pytest

from cli.client import ApiClient, open_client
from cli.errors import CommandError, UnansweredError


def client_of(handler):
    return ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))


def test_submission_is_posted_and_its_ids_read():
    seen = []

    def handler(request):
        seen.append((request.method, request.url.path, request.content))
        return httpx.Response(202, json={"id": "dr_1", "job_id": "job_1", "status": "queued", "added_later": 1})

    submitted = client_of(handler).submit({"base_model": "m"})

    assert (submitted.id, submitted.job_id) == ("dr_1", "job_1")
    assert seen == [("POST", "/v1/deletion-requests", b'{"base_model":"m"}')]


def test_problem_becomes_one_sentence():
    problem = {"code": "empty_text", "detail": "the text is empty", "param": "/forget/0"}

    with pytest.raises(CommandError, match="empty_text at /forget/0: the text is empty"):
        client_of(lambda _: httpx.Response(422, json=problem)).job("job_1")


def test_answer_of_something_else_is_named_by_its_status():
    with pytest.raises(CommandError, match="HTTP 502"):
        client_of(lambda _: httpx.Response(502, text="<html>")).job("job_1")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(503, json={"code": "unavailable", "detail": "later", "retryable": True}), UnansweredError),
        (httpx.Response(503, text="<html>"), UnansweredError),
        (httpx.Response(404, json={"code": "not_found", "detail": "no", "retryable": False}), CommandError),
        (httpx.Response(500, text="<html>"), CommandError),
    ],
)
def test_only_what_may_succeed_later_counts_as_unanswered(response, kind):
    with pytest.raises(CommandError) as refused:
        client_of(lambda _: response).job("job_1")

    assert type(refused.value) is kind


def test_missing_answer_asks_for_the_server():
    def handler(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(UnansweredError, match="lethe serve"):
        client_of(handler).job("job_1")


def test_missing_key_is_asked_for(monkeypatch):
    monkeypatch.delenv("LETHE_API_KEY", raising=False)

    with pytest.raises(CommandError, match="LETHE_API_KEY"):
        open_client(url=None, key=None)
