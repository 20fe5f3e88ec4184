import io
import json

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

import cli.probe
from api.schemas.probe import ProbeWithResult
from cli.client import ApiClient, ProbeView
from cli.errors import CommandError, OutcomeUnknownError, UnansweredError
from cli.main import commands
from cli.probe import show, wait_for_probe

ENDED = ProbeWithResult.model_config["json_schema_extra"]["examples"][0]  # what the API says it answers
QUEUED = ENDED | {"status": "queued", "is_terminal": False, "result": None}
FAILED = ENDED | {"status": "failed", "result": None, "error": {"code": "out_of_memory", "message": "split"}}


def client_of(handler):
    return ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))


def answering(*answers):
    """Return a client whose API answers with each of these in turn, and the bodies that it was sent."""
    waiting, sent = list(answers), []

    def handler(request):
        sent.append((request.method, request.url.path, request.content))
        answer = waiting.pop(0)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    return client_of(handler), sent


@pytest.fixture
def run(tmp_path, monkeypatch):
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps({"id": "ada-mail", "prompt": "Who?", "completion": "Ada."}) + "\n")

    def invoke(client, *arguments):
        monkeypatch.setattr(cli.probe, "open_client", lambda **_: client)
        return CliRunner().invoke(
            commands, ["probe", str(file), "--base-model", "m", *arguments], env={"COLUMNS": "200"}
        )

    return invoke


def printed(result):
    lines = io.StringIO()
    show(result, Console(file=lines, width=200))
    return lines.getvalue()


def test_probe_is_posted_and_its_answer_printed_by_item(run):
    client, sent = answering(QUEUED, ENDED)

    ran = run(client, "--job", "job_1", "--policy", "fast", "--external-id", "case-7")

    assert ran.exit_code == 0, ran.output
    assert sent[0][:2] == ("POST", "/v1/probes")
    assert json.loads(sent[0][2]) == {
        "base_model": "m",
        "items": [{"id": "ada-mail", "prompt": "Who?", "completion": "Ada."}],
        "job_id": "job_1",
        "policy": "fast",
        "external_id": "case-7",
    }
    assert sent[1][:2] == ("GET", f"/v1/probes/{ENDED['id']}")
    assert ENDED["id"] in ran.stdout
    assert "1 of 2 memorised" in ran.stdout


def test_failed_probe_ends_with_1_and_its_reason(run):
    client, _ = answering(QUEUED, FAILED)

    ran = run(client)

    assert ran.exit_code == 1
    assert "out_of_memory: split" in ran.stdout


def test_refused_probe_is_a_command_error(run):
    client, _ = answering(httpx.Response(422, json={"code": "item_too_long", "detail": "split", "param": "/items/0"}))

    ran = run(client)

    assert type(ran.exception) is CommandError
    assert "item_too_long at /items/0" in str(ran.exception)


def test_probe_that_cannot_be_followed_is_of_unknown_outcome(run):
    client, _ = answering(QUEUED, httpx.Response(404, json={"code": "not_found", "detail": "no"}))

    assert isinstance(run(client).exception, OutcomeUnknownError)


def test_table_names_items_and_never_guesses_what_is_open():
    result = ProbeView.model_validate(ENDED).result
    undecided = result.items[1].model_copy(update={"memorised": None, "metrics": {}})
    text = printed(result.model_copy(update={"items": (result.items[0], undecided)}))

    rows = {line.split()[1]: line.split() for line in text.splitlines() if "ada-mail" in line or "item-1" in line}
    assert "yes" in rows["ada-mail"]
    assert "?" in rows["item-1"]
    assert "limit of extraction strength: 0.300, from the policy" in text
    assert "guesses itself" in text


def test_waiting_goes_on_through_a_restart_and_not_for_ever():
    class Time:
        seconds = 0.0

    def sleep(seconds):
        Time.seconds += seconds

    away = httpx.Response(503, text="away")
    client, sent = answering(QUEUED, away, away, QUEUED, ENDED)
    console = Console(file=io.StringIO())

    ended = wait_for_probe(client, ENDED["id"], console, now=lambda: Time.seconds, sleep=sleep)

    assert ended.status == "succeeded"
    assert len(sent) == 5
    with pytest.raises(UnansweredError):
        wait_for_probe(client_of(lambda _: away), "prb_1", console, now=lambda: Time.seconds, sleep=sleep)
