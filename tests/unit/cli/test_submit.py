import json

import httpx
import pytest
from typer.testing import CliRunner

import cli.submit
from api.schemas.estimate import EstimateBody
from cli.client import ApiClient
from cli.errors import CommandError
from cli.main import commands

ESTIMATE = EstimateBody.model_config["json_schema_extra"]["examples"][0]  # what the API says it answers
NOTHING = {
    "duration_seconds": None,
    "start_seconds": None,
    "peak_memory_bytes": {"low": 2**20, "likely": None, "high": None},
    "device_memory_bytes": None,
    "queue_wait_seconds": None,
    "steps": 120,
    "stages": {},
    "based_on": None,
    "absent": {"duration_seconds": "nothing has been measured", "queue_wait_seconds": "no worker is alive"},
}
SUBMITTED = {"id": "dr_1", "job_id": "job_1", "status": "queued"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    file = tmp_path / "forget.jsonl"
    file.write_text(json.dumps({"id": "own", "text": "my secret"}) + "\n")

    def invoke(answer, *arguments, status=200):
        sent = []

        def handler(request):
            sent.append(request)
            return httpx.Response(status, json=answer)

        client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))
        monkeypatch.setattr(cli.submit, "open_client", lambda **_: client)
        ran = CliRunner().invoke(
            commands, ["submit", str(file), "--base-model", "m", *arguments], env={"COLUMNS": "200"}
        )
        return ran, sent

    return invoke


def test_a_request_is_filed_and_its_ids_are_printed(run):
    ran, (sent,) = run(SUBMITTED, "--policy", "fast", "--method", '{"name": "npo"}', "--external-id", "case-7")

    assert (sent.method, sent.url.path) == ("POST", "/v1/deletion-requests")
    assert json.loads(sent.content) == {
        "base_model": "m",
        "forget": [{"id": "own", "text": "my secret"}],
        "method": {"name": "npo"},
        "policy": "fast",
        "external_id": "case-7",
    }
    assert ran.stdout == "dr_1 job_1\n"


def test_a_dry_run_asks_for_an_estimate_of_the_same_body_and_files_nothing(run):
    _, (filed,) = run(SUBMITTED)
    ran, (sent,) = run(ESTIMATE, "--dry-run")

    assert (sent.method, sent.url.path) == ("POST", "/v1/estimates")
    assert sent.content == filed.content
    lines = [line.split("│")[1:-1] for line in ran.stdout.splitlines() if "│" in line]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}
    assert rows["duration"] == ["35.4 s", "32.0 s", "42.8 s"]
    assert rows["start"] == ["0.4 s", "0.3 s", "6.1 s"]
    assert rows["train"] == ["17.4 s", "", ""]
    assert rows["queue wait"][0] == "0.0 s"
    assert rows["peak memory"] == ["401 MiB", "296 MiB", "439 MiB"]
    assert rows["of"][0] == "8,192 MiB"
    assert rows["steps"] == ["", "", "120"]
    assert "from 12 jobs by this method and policy on this base model, on a CPU, 2 threads" in ran.stdout


def test_what_is_not_known_is_said_with_its_reason(run):
    ran, _ = run(NOTHING, "--dry-run")

    assert ran.exit_code == 0
    assert "duration seconds: nothing has been measured" in ran.stdout
    assert "queue wait seconds: no worker is alive" in ran.stdout
    assert "1 MiB" in ran.stdout


def test_a_job_that_fits_nowhere_is_a_command_error(run):
    refusal = {"code": "does_not_fit", "detail": "lower batch_size", "param": "/method"}

    ran, _ = run(refusal, "--dry-run", status=422)

    assert type(ran.exception) is CommandError
    assert "does_not_fit at /method: lower batch_size" in str(ran.exception)


def test_a_method_that_is_no_json_is_refused_before_anything_is_sent(run):
    ran, sent = run(SUBMITTED, "--method", "loku")

    assert type(ran.exception) is CommandError
    assert sent == []
