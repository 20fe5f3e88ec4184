import io
import json
import zipfile

import httpx
import pytest

from cli.client import ApiClient
from cli.composition import open_backends
from cli.demo.service import deletion_request, download, items_of, make_key, register_once
from cli.errors import CommandError
from core.domain.api_key import key_id_of, matches
from tests.unit.core.packaging.reports import make_report


@pytest.fixture
def registered(trained, tmp_path):
    return register_once(trained.path, trained.options.population(), tmp_path)


def test_base_model_is_registered_with_its_retain_and_holdout_sets(registered, trained):
    population = trained.options.population()

    assert registered.num_retain_items == len(items_of(population.retain))
    assert registered.num_holdout_items == len(items_of(population.holdout))


def test_registering_twice_finds_the_first(registered, trained, tmp_path):
    assert register_once(trained.path, trained.options.population(), tmp_path) == registered


def test_request_names_only_the_people_who_are_to_be_forgotten(registered, trained):
    population = trained.options.population()

    body = json.dumps(deletion_request(registered, population.forget))

    assert population.forget[0].email in body
    assert not any(person.name in body for person in population.retain + population.unseen + population.holdout)


def test_key_is_one_that_the_deployment_knows(tmp_path):
    token = make_key(tmp_path)

    backends = open_backends(tmp_path)
    assert matches(backends.api_keys.get(key_id_of(token)), token, backends.secret_key)


def _client(answers: dict[str, bytes]) -> ApiClient:
    def answer(request: httpx.Request) -> httpx.Response:
        content = answers.get(request.headers["Accept"])
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    return ApiClient(httpx.Client(base_url="http://lethe.example", transport=httpx.MockTransport(answer)))


def _package() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("adapter_config.json", "{}")
    return buffer.getvalue()


def test_download_unpacks_the_adapter_and_keeps_both_reports(tmp_path):
    report = make_report()
    answers = {
        "application/zip": _package(),
        "text/html": b"<p>page</p>",
        "application/json": report.model_dump_json().encode(),
    }

    delivery = download(_client(answers), "job_1", tmp_path / "results")

    assert (delivery.adapter / "adapter_config.json").read_text() == "{}"
    assert delivery.report_html.read_text() == "<p>page</p>"
    assert delivery.report == report


def test_download_that_is_refused_says_what_was_asked_for(tmp_path):
    with pytest.raises(CommandError, match=r"HTTP 404 from http://lethe\.example/v1/jobs/job_1/adapter"):
        download(_client({}), "job_1", tmp_path)
