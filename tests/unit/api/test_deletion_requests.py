import pytest

from core.domain.policy import current
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from tests.fakes.examples import a_job, a_request, an_event
from tests.unit.api.harness import OTHER_TENANT, a_body, problem


def test_create_answers_202_with_where_to_look(client):
    response = client.post("/v1/deletion-requests", json=a_body(external_id="case-1", metadata={"ticket": "42"}))
    assert response.status_code == 202
    body = response.json()
    assert response.headers["location"] == f"/v1/deletion-requests/{body['id']}"
    assert body["id"].startswith("dr_")
    assert body["job_id"].startswith("job_")
    assert body["method"]["name"] == "loku"
    created = "2026-01-02T03:04:05.678901Z"
    expected = {
        "status": "queued",
        "is_terminal": False,
        "base_model": "people/neo-6m",
        "policy": current("standard").name,
        "num_items": 1,
        "external_id": "case-1",
        "metadata": {"ticket": "42"},
        "created_at": created,
        "dispositions": {
            "pending": 1,
            "forgotten": 0,
            "no_action_needed": 0,
            "not_forgotten": 0,
            "failed": 0,
            "cancelled": 0,
        },
    }
    assert {name: body[name] for name in expected} == expected


def test_create_stores_the_texts_and_tells_the_queue(world, client):
    body = client.post("/v1/deletion-requests", json=a_body()).json()
    assert world.queue.published == [body["job_id"]]
    (stored,) = (item_set for name, item_set in world.items.sets.items() if name != "set_retain")
    assert stored.items[0].completion == "Here."


def test_create_takes_every_kind_of_item_and_option(client):
    body = a_body(
        forget=[
            {"id": "a", "text": "Ada lives here."},
            {"prompt": "Where?", "completion": "There."},
            {"subject": "Ada", "prompt": "Ada is", "completion": "tall."},
        ],
        retain=[{"text": "Bob lives there."}],
        method={"name": "loku", "learning_rate": 0.01, "target_modules": ["q_proj"], "r": 8, "max_steps": None},
    )
    created = client.post("/v1/deletion-requests", json=body)
    assert created.status_code == 202
    assert created.json()["method"]["target_modules"] == ["q_proj"]
    items = client.get(created.headers["location"]).json()["items"]
    assert items == [
        {"item_id": "a", "disposition": "pending"},
        {"item_id": "item-1", "disposition": "pending"},
        {"item_id": "item-2", "disposition": "pending"},
    ]


def test_create_refuses_items_that_the_method_cannot_take(client):
    text, pair = {"text": "my secret"}, {"prompt": "Where is Ada?", "completion": "Here."}
    fact = {"subject": "Ada", **pair}

    def refused(method, *forget):
        return client.post("/v1/deletion-requests", json=a_body(forget=forget, method={"name": method}))

    problem(refused("dpo_idk", pair, text), 422, "prompt_required", "/forget/1")
    problem(refused("law", fact, text), 422, "subject_required", "/forget/1")
    problem(refused("law", pair), 422, "subject_required", "/forget/0")
    problem(refused("law", {**fact, "subject": "Bob"}), 422, "subject_not_in_prompt", "/forget/0/subject")
    assert refused("law", fact).status_code == 202


def test_create_refuses_options_that_name_what_the_base_model_lacks(client):
    def refused(**method):
        fact = {"subject": "Ada", "prompt": "Where is Ada?", "completion": "Here."}
        return client.post("/v1/deletion-requests", json=a_body(forget=[fact], method=method))

    modules = refused(name="loku", target_modules=["q_proj", "my_secret"])
    assert "secret" not in problem(modules, 422, "unknown_module", "/method/target_modules/1")["detail"]
    problem(refused(name="rmu", layer=5), 422, "layer_out_of_range", "/method/layer")
    problem(refused(name="law", layers=[0, 4]), 422, "layer_out_of_range", "/method/layers/1")


def test_refusals_of_the_method_are_declared(client):
    paths = client.get("/openapi.json").json()["paths"]
    examples = paths["/v1/deletion-requests"]["post"]["responses"]["422"]["content"]["application/problem+json"][
        "examples"
    ]
    assert {"prompt_required", "subject_required", "subject_not_in_prompt"} <= examples.keys()
    assert {"unknown_module", "layer_out_of_range"} <= examples.keys()


def test_create_succeeds_while_the_broker_is_away(world, client):
    world.queue.away = True
    assert client.post("/v1/deletion-requests", json=a_body()).status_code == 202


def test_create_is_503_while_the_database_is_away(world, client, monkeypatch):
    def away(*_arguments):
        raise ConnectionError("host=db password=hunter2")

    monkeypatch.setattr(world.jobs, "add", away)
    response = client.post("/v1/deletion-requests", json=a_body())
    assert problem(response, 503, "unavailable")["retryable"] is True
    assert response.headers["retry-after"] == "5"
    assert "hunter2" not in response.text
    assert world.items.kept == set()  # so the sweep destroys the texts if no row owns them


def test_get_derives_the_status_from_job_and_items(world, client):
    job = world.add_job()
    (request,) = world.jobs.requests_of(job.id)
    running = world.start(job)
    dispositions = [
        ItemDisposition(item_id="item-0", disposition=Disposition.FORGOTTEN),
        ItemDisposition(item_id="item-1", disposition=Disposition.NOT_FORGOTTEN),
    ]
    succeeded = running.ended(JobState.SUCCEEDED, now=world.clock(), package=world._package(job))
    world.jobs.save(running, succeeded, [an_event()], dispositions)
    body = client.get(f"/v1/deletion-requests/{request.id}").json()
    assert (body["status"], body["is_terminal"]) == ("partly_completed", True)
    assert [item["disposition"] for item in body["items"]] == ["forgotten", "not_forgotten"]


@pytest.mark.parametrize("path", ["/v1/deletion-requests", "/v1/deletion-requests/{id}"])
def test_job_that_ends_between_the_reads_of_an_answer_is_not_shown_with_pending_items(world, client, monkeypatch, path):
    job = world.add_job()
    (request,) = world.jobs.requests_of(job.id)

    def ending_first(read):
        def ended_and_read(asked):
            if not read_one(job.id).state.is_terminal:
                running = world.start(job)
                ended = running.ended(JobState.SUCCEEDED, now=world.clock(), package=world._package(job))
                done = [
                    ItemDisposition(item_id=item.item_id, disposition=Disposition.FORGOTTEN) for item in request.items
                ]
                world.jobs.save(running, ended, [an_event()], done)
            return read(asked)

        return ended_and_read

    read_one, read_many = world.jobs.job, world.jobs.jobs_by_id
    monkeypatch.setattr(world.jobs, "job", ending_first(read_one))
    monkeypatch.setattr(world.jobs, "jobs_by_id", ending_first(read_many))

    body = client.get(path.format(id=request.id)).json()

    found = body["data"][0] if "data" in body else body
    assert (found["status"], found["is_terminal"]) == ("completed", True)


def test_get_of_an_unknown_or_impossible_id_is_404(client):
    for request_id in ("dr_0", "job_1", "%00", "dr_%F0%9F%92%A9", "x" * 300):
        problem(client.get(f"/v1/deletion-requests/{request_id}"), 404, "not_found")


def test_list_pages_newest_first(world, client):
    made = [world.add_job() for _ in range(5)]
    newest_first = [world.jobs.requests_of(job.id)[0].id for job in reversed(made)]
    first = client.get("/v1/deletion-requests", params={"limit": 2}).json()
    assert first["object"] == "list"
    assert [row["id"] for row in first["data"]] == newest_first[:2]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, newest_first[0], newest_first[1])
    rest = client.get("/v1/deletion-requests", params={"after": first["last_id"], "limit": 3}).json()
    assert [row["id"] for row in rest["data"]] == newest_first[2:]
    assert rest["has_more"] is False


def test_a_page_asks_for_all_of_its_jobs_at_once(world, client, monkeypatch):
    made = [world.add_job() for _ in range(3)]
    read = world.jobs.jobs_by_id
    asked = []
    monkeypatch.setattr(world.jobs, "job", None)
    monkeypatch.setattr(world.jobs, "jobs_by_id", lambda job_ids: asked.append(set(job_ids)) or read(job_ids))
    listed = client.get("/v1/deletion-requests").json()["data"]
    assert [row["job_id"] for row in listed] == [job.id for job in reversed(made)]
    assert asked == [{job.id for job in made}]


def test_list_filters_by_external_id_and_base_model(world, client):
    job = a_job(base_model="other")
    world.jobs.add(a_request(job, "dr_1", external_id="case 1&2"), job, [])
    world.add_job()
    found = client.get("/v1/deletion-requests", params={"external_id": "case 1&2", "base_model": "other"}).json()
    assert [row["id"] for row in found["data"]] == ["dr_1"]


def test_an_empty_list_has_no_cursors(world):
    empty = world.client(OTHER_TENANT).get("/v1/deletion-requests").json()
    assert empty == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}


def test_list_refuses_an_unknown_cursor(client):
    problem(client.get("/v1/deletion-requests", params={"after": "dr_0"}), 422, "invalid_cursor", "after")


def test_list_refuses_impossible_queries(client):
    path = "/v1/deletion-requests"
    problem(client.get(path, params={"limit": 0}), 422, "invalid_field", "limit")
    problem(client.get(path, params={"limit": 101}), 422, "invalid_field", "limit")
    problem(client.get(path, params={"limit": "many"}), 422, "invalid_field", "limit")
    problem(client.get(path, params={"after": "\0"}), 422, "invalid_field", "after")
    problem(client.get(path, params={"external_id": "a\0b"}), 422, "invalid_field", "external_id")
    refused = problem(client.get(path, params={"state": "queued"}), 422, "unknown_field", "")
    assert "state" not in str(refused)


def test_policy_is_the_newest_version_of_the_one_that_is_asked_for(world, client):
    created = client.post("/v1/deletion-requests", json=a_body(policy="fast"))

    assert world.jobs.job(created.json()["job_id"]).spec.policy == current("fast").name
    default = client.post("/v1/deletion-requests", json=a_body())
    assert world.jobs.job(default.json()["job_id"]).spec.policy == current("standard").name


def test_policy_that_compares_with_unseen_texts_needs_some(client):
    problem(client.post("/v1/deletion-requests", json=a_body(policy="strict")), 422, "holdout_set_required", "/policy")


def test_unknown_policy_is_refused(client):
    refused = client.post("/v1/deletion-requests", json=a_body(policy="my-secret"))

    assert refused.status_code == 422
    assert "my-secret" not in refused.text
