import pytest

from core.domain.job import PublicError
from core.domain.policy import current
from core.domain.states import JobState
from tests.fakes.examples import a_base_model, a_job
from tests.unit.api.harness import OTHER_TENANT, a_probe_body, post, problem

TEXT = {"text": "Ada lives here."}
PAIR = {"prompt": "Where is Ada?", "completion": "Here."}


def texts_of(world, probe):
    return [item_set for item_set in world.items.sets.values() if item_set.owner == probe["id"]]


def test_create_answers_202_with_where_to_look(client):
    response = client.post("/v1/probes", json=a_probe_body(external_id="case-1", metadata={"ticket": "42"}))

    body = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/probes/{body['id']}"
    assert body["id"].startswith("prb_")
    expected = {
        "status": "queued",
        "is_terminal": False,
        "base_model": "people/neo-6m",
        "job_id": None,
        "num_items": 1,
        "external_id": "case-1",
        "metadata": {"ticket": "42"},
        "created_at": "2026-01-02T03:04:05.678901Z",
        "finished_at": None,
        "error": None,
    }
    assert {name: body[name] for name in expected} == expected


def test_create_stores_the_texts_provisionally_and_tells_the_queue(world, client):
    probe = client.post("/v1/probes", json=a_probe_body()).json()

    (stored,) = texts_of(world, probe)
    assert stored.items[0].completion == "Here."
    assert stored.id not in world.items.kept
    assert world.queue.published == [probe["id"]]


def test_probe_has_no_result_before_it_has_succeeded(world, client):
    queued = world.add_probe()
    assert client.get(f"/v1/probes/{queued.id}").json()["result"] is None
    world.start(queued)
    running = client.get(f"/v1/probes/{queued.id}").json()
    assert (running["status"], running["result"], running["attempts"]) == ("running", None, 1)


def test_probe_that_succeeded_has_its_result(world, client):
    probe = world.answer(world.add_probe())

    body = client.get(f"/v1/probes/{probe.id}").json()

    assert (body["status"], body["is_terminal"]) == ("succeeded", True)
    assert [(item["id"], item["memorised"]) for item in body["result"]["items"]] == [
        ("ada-mail", True),
        ("item-1", False),
    ]
    assert body["result"]["totals"]["memorised"] == 1
    assert body["result"]["thresholds"]["source"] == "policy"


def test_result_that_the_store_has_lost_is_a_500_that_says_so(world, client):
    probe = world.answer(world.add_probe())
    world.artifacts.delete(probe.result.key)

    problem(client.get(f"/v1/probes/{probe.id}"), 500, "artifact_missing")


def test_list_pages_and_filters(world, client):
    first, second, third = world.add_probe(), world.add_probe(external_id="case-7"), world.add_probe(base_model="other")
    world.answer(first)

    page = client.get("/v1/probes", params={"limit": 2}).json()
    rest = client.get("/v1/probes", params={"limit": 2, "after": page["last_id"]}).json()

    assert [probe["id"] for probe in page["data"] + rest["data"]] == [third.id, second.id, first.id]
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert "result" not in page["data"][0]
    for name, value, expected in (
        ("status", "succeeded", first),
        ("external_id", "case-7", second),
        ("base_model", "other", third),
    ):
        assert [row["id"] for row in client.get("/v1/probes", params={name: value}).json()["data"]] == [expected.id]


def test_jobs_and_probes_are_lists_of_their_own(world, client):
    job, probe = world.add_job(), world.add_probe()

    assert [row["id"] for row in client.get("/v1/jobs").json()["data"]] == [job.id]
    assert [row["id"] for row in client.get("/v1/probes").json()["data"]] == [probe.id]
    problem(client.get("/v1/probes", params={"after": job.id}), 422, "invalid_cursor", "after")
    problem(client.get("/v1/jobs", params={"after": probe.id}), 422, "invalid_cursor", "after")
    problem(client.get(f"/v1/jobs/{probe.id}"), 404, "not_found")
    problem(client.get(f"/v1/jobs/{probe.id}/events"), 404, "not_found")
    problem(client.get(f"/v1/jobs/{probe.id}/report"), 404, "not_found")
    problem(client.get(f"/v1/probes/{job.id}"), 404, "not_found")


def test_events_are_those_of_the_probe_and_can_be_followed_by_seq(world, client):
    probe = world.answer(world.add_probe())

    first = client.get(f"/v1/probes/{probe.id}/events", params={"limit": 2}).json()
    rest = client.get(f"/v1/probes/{probe.id}/events", params={"after_seq": 2}).json()

    assert [event["id"] for event in first["data"]] == [f"{probe.id}.1", f"{probe.id}.2"]
    assert (first["has_more"], first["last_id"]) == (True, f"{probe.id}.2")
    assert [(event["seq"], event["message"]) for event in rest["data"]] == [(3, "done")]
    assert rest["has_more"] is False


@pytest.mark.parametrize(("name", "value"), [("after_seq", -1), ("limit", 0), ("limit", 1001)])
def test_events_refuse_impossible_queries(world, client, name, value):
    probe = world.add_probe()

    problem(client.get(f"/v1/probes/{probe.id}/events", params={name: value}), 422, "invalid_field", name)


def test_events_of_a_job_are_not_those_of_a_probe(world, client):
    problem(client.get(f"/v1/probes/{world.add_job().id}/events"), 404, "not_found")


def test_policy_is_the_newest_version_of_the_one_that_is_asked_for(world, client):
    assert client.post("/v1/probes", json=a_probe_body()).json()["policy"] == current("standard").name
    asked = client.post("/v1/probes", json=a_probe_body(policy="fast")).json()
    assert asked["policy"] == current("fast").name
    assert world.jobs.job(asked["id"]).probe.policy == asked["policy"]
    problem(post(client, a_probe_body(policy="lax"), "/v1/probes"), 422, "invalid_field", "/policy")


def test_policy_that_needs_a_holdout_set_is_refused_without_one(client):
    problem(post(client, a_probe_body(policy="strict"), "/v1/probes"), 422, "holdout_set_required", "/policy")


def test_cancelling_a_queued_probe_ends_it_and_destroys_its_texts(world, client):
    probe = client.post("/v1/probes", json=a_probe_body()).json()

    response = client.post(f"/v1/probes/{probe['id']}/cancel")

    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    assert texts_of(world, probe) == []
    assert client.post(f"/v1/probes/{probe['id']}/cancel").json()["status"] == "cancelled"


def test_cancelling_a_running_probe_leaves_its_texts_to_the_worker(world, client):
    probe = world.add_probe()
    world.start(probe)

    response = client.post(f"/v1/probes/{probe.id}/cancel")

    assert response.json()["status"] == "cancelling"
    assert probe.probe.item_set_id in world.items.sets


def test_probe_that_has_ended_cannot_be_cancelled(world, client):
    probe = world.answer(world.add_probe())

    problem(client.post(f"/v1/probes/{probe.id}/cancel"), 409, "illegal_transition")


def test_adapter_of_ones_own_succeeded_job_is_taken(world, client):
    job = world.succeed(world.add_job())

    assert client.post("/v1/probes", json=a_probe_body(job_id=job.id)).json()["job_id"] == job.id


def test_adapter_that_cannot_be_had_is_refused(world, client):
    def refused(job):
        return client.post("/v1/probes", json=a_probe_body(job_id=job.id))

    world.base_models.add(a_base_model("other"))
    problem(refused(a_job()), 422, "unknown_job", "/job_id")
    problem(refused(world.succeed(world.add_job(tenant=OTHER_TENANT))), 422, "unknown_job", "/job_id")
    problem(refused(world.add_job()), 422, "job_not_succeeded", "/job_id")
    problem(refused(world.end_without_action(world.add_job())), 422, "job_without_adapter", "/job_id")
    problem(refused(world.succeed(world.add_job(base_model="other"))), 422, "base_model_mismatch", "/job_id")
    assert world.queue.published == []
    assert set(world.items.sets) == {"set_retain"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"items": [TEXT]}, "missing_field", "/base_model"),
        ({"base_model": "people/neo-6m"}, "missing_field", "/items"),
        (a_probe_body(base_model="unknown"), "unknown_base_model", "/base_model"),
        (a_probe_body(items=[]), "invalid_field", "/items"),
        (a_probe_body(items=["Ada"]), "invalid_field", "/items/0"),
        (a_probe_body(items=[TEXT, {"prompt": "a"}]), "missing_field", "/items/1/completion"),
        (a_probe_body(items=[TEXT | {"txet": "a"}]), "unknown_field", "/items/0"),
        (a_probe_body(items=[{"text": " "}]), "empty_text", "/items/0/text"),
        (a_probe_body(items=[{"text": "a\0b"}]), "invalid_text", "/items/0/text"),
        (
            a_probe_body(items=[PAIR | {"paraphrased_prompts": ["Who?", " "]}]),
            "empty_text",
            "/items/0/paraphrased_prompts/1",
        ),
        (a_probe_body(items=[TEXT, TEXT]), "duplicate_item", "/items/1"),
        (a_probe_body(items=[TEXT | {"id": "a"}, {"id": "a", "text": "b c"}]), "duplicate_item", "/items/1/id"),
        (a_probe_body(items=[{"text": f"t {n}"} for n in range(6)]), "too_many_items", "/items"),
        (a_probe_body(items=[{"text": "a" * 2001}]), "item_too_long", "/items/0"),
        (a_probe_body(items=[{"text": "a " * 257}]), "item_too_long", "/items/0"),
        (a_probe_body(items=[{"text": "a"}]), "item_too_short", "/items/0"),
        (a_probe_body(job_id="dr_1"), "invalid_field", "/job_id"),
        (a_probe_body(job_id="prb_1"), "invalid_field", "/job_id"),
        (a_probe_body(forget=[TEXT]), "unknown_field", "/forget"),
        (a_probe_body(metadata={"k": 1}), "invalid_field", "/metadata"),
    ],
)
def test_create_refuses_by_the_field(world, client, body, code, param):
    response = post(client, body, "/v1/probes")

    problem(response, 422, code, param)
    assert sum(world.jobs.count_by_state().values()) == 0


def test_unknown_field_is_refused_with_those_that_there_are(client):
    detail = problem(post(client, a_probe_body(forgets=1), "/v1/probes"), 422, "unknown_field", "")["detail"]

    assert "base_model, items, job_id, policy, external_id, metadata" in detail


def test_failed_probe_says_why(world, client):
    probe = world.start(world.add_probe())
    error = PublicError(code="out_of_memory", message="too little")
    world.jobs.save(probe, probe.ended(JobState.FAILED, now=world.clock(), error=error), [])

    body = client.get(f"/v1/probes/{probe.id}").json()
    assert body["error"] == {"code": "out_of_memory", "message": "too little"}
    assert body["result"] is None
