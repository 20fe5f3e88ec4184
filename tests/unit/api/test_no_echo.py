import pytest
from structlog.testing import capture_logs

from tests.unit.api.harness import a_body, a_probe_body, dumped, post

SENTINEL = "SENTINEL-7f3a"
PATH = "/v1/deletion-requests"
TEXT = {"text": "Ada lives here."}
LONG = SENTINEL * 400
PAIR = {"prompt": "Where is Ada?", "completion": "Here."}
WORDINGS = ("paraphrased_completion", "perturbed_completions", "paraphrased_prompts")


def _bodies():
    """Yield a body for each place that a text can slip into, wrong in as many ways as there are."""
    for value in (SENTINEL, LONG, [SENTINEL], {SENTINEL: SENTINEL}, f"{SENTINEL}\0", f"{SENTINEL}\ud800"):
        for field in ("base_model", "forget", "retain", "method", "external_id", "metadata", SENTINEL):
            yield a_body(**{field: value})
        for field in ("id", "text", "subject", "prompt", "completion", SENTINEL):
            yield a_body(forget=[TEXT | {field: value}])
            yield a_body(retain=[{field: value}])
        for field in WORDINGS:
            yield a_body(forget=[PAIR | {field: value}])
            yield a_body(retain=[PAIR | {field: [value, " "]}])
        for option in ("name", "r", "learning_rate", "target_modules", "initializer", "early_stopping"):
            yield a_body(method={"name": "loku", option: value})
        yield a_body(metadata={"k": value})
        yield a_body(metadata={f"{SENTINEL}{'k' * 60}": value})
        yield a_body(method={"name": "loku", f"{SENTINEL} Ada lives here": value})
        yield [value]
        yield {SENTINEL: value}
    twice = {"text": SENTINEL}
    yield a_body(forget=[twice, twice])
    yield a_body(forget=[twice], retain=[twice])
    yield a_body(forget=[{"text": f"{SENTINEL} " * 300}])


def _probes():
    """Yield probes that are wrong in the same ways."""
    for value in (SENTINEL, LONG, [SENTINEL], {SENTINEL: SENTINEL}, f"{SENTINEL}\0", f"{SENTINEL}\ud800"):
        for field in ("base_model", "items", "job_id", "external_id", "metadata", SENTINEL):
            yield a_probe_body(**{field: value})
        for field in ("id", "text", "subject", "prompt", "completion", SENTINEL):
            yield a_probe_body(items=[TEXT | {field: value}])
        for field in WORDINGS:
            yield a_probe_body(items=[PAIR | {field: value}, PAIR | {field: [value, " "]}])
    yield a_probe_body(job_id=f"job_{SENTINEL.lower().replace('-', '')}")
    yield a_probe_body(items=[{"text": SENTINEL}] * 2)
    yield a_probe_body(items=[{"text": f"{SENTINEL} " * 300}])


def test_no_answer_and_no_log_line_repeats_a_probe(client):
    with capture_logs() as lines:
        for body in _probes():
            response = post(client, body, "/v1/probes")
            if response.status_code >= 400:
                assert SENTINEL not in dumped(response), body
                assert "sentinel7f3a" not in dumped(response), body
    assert len(lines) > 50
    assert SENTINEL not in str(lines)


@pytest.mark.parametrize("path", [PATH, "/v1/estimates"])
def test_no_answer_and_no_log_line_repeats_a_body(client, path):
    with capture_logs() as lines:
        for body in _bodies():
            response = post(client, body, path)
            if response.status_code >= 400:
                assert SENTINEL not in dumped(response), body
    assert len(lines) > 100
    assert SENTINEL not in str(lines)


@pytest.mark.parametrize(
    "wrong", ['{"a": "%s', '{"%s": 1, "%s": 2}', "%s", '{"a": %s}', '{"a": "%s\x01"}', "[NaN, '%s']"]
)
def test_no_answer_repeats_broken_json(client, wrong):
    with capture_logs() as lines:
        content = wrong.replace("%s", SENTINEL).encode()
        response = client.post(PATH, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert SENTINEL not in dumped(response)
    assert SENTINEL not in str(lines)


@pytest.mark.parametrize(
    "path",
    [
        f"/{SENTINEL}",
        f"/v1/jobs/{SENTINEL}",
        f"/v1/jobs/job_{SENTINEL.lower()}",
        f"/v1/jobs/{SENTINEL}/adapter",
        f"/v1/deletion-requests/{SENTINEL}",
        f"/v1/base-models/{SENTINEL}",
        f"/v1/jobs?after={SENTINEL}",
        f"/v1/jobs?limit={SENTINEL}",
        f"/v1/jobs?status={SENTINEL}",
        f"/v1/jobs?base_model=%00{SENTINEL}",
        f"/v1/jobs?{SENTINEL}=1",
        f"/v1/deletion-requests?external_id=%00{SENTINEL}",
        f"/problems/{SENTINEL}",
    ],
)
def test_no_answer_and_no_log_line_repeats_a_path_or_a_query(client, path):
    with capture_logs() as lines:
        response = client.get(path)
    assert response.status_code in {404, 422}
    assert SENTINEL.lower() not in dumped(response).lower()
    assert SENTINEL.lower() not in str(lines).lower()


def test_a_bug_leaks_neither_the_texts_nor_its_message(world, client, monkeypatch):
    def broken(item_set):
        raise RuntimeError(f"cannot store {item_set}")

    monkeypatch.setattr(world.items, "put", broken)
    with capture_logs() as lines:
        response = post(client, a_body(forget=[{"text": SENTINEL}]))
    assert response.status_code == 500
    assert SENTINEL not in dumped(response)
    assert SENTINEL not in str(lines)


def test_texts_are_in_no_metric(world, client):
    post(client, a_body(external_id=SENTINEL, metadata={SENTINEL: SENTINEL}, forget=[{"text": SENTINEL}]))
    assert SENTINEL not in client.get("/metrics").text
