"""The API over the fakes, and a client that refuses answers which the OpenAPI document does not declare."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from hashlib import sha256

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from api.app import build_app
from api.routes import ROUTERS
from api.schemas.probe import ProbeWithResult
from api.services import Services
from api.settings import ApiSettings
from core.domain.api_key import mint
from core.domain.identifiers import new_id
from core.domain.job import Job, Package, StoredFile
from core.domain.probe import ProbeResult
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from tests.fakes.api_key_repository import FakeApiKeyRepository
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import FakeClock
from tests.fakes.examples import TENANT, a_base_model, a_job, a_probe, a_request, an_event, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository
from tests.fakes.measurement_repository import FakeMeasurementRepository
from tests.fakes.worker_repository import FakeWorkerRepository
from tests.unit.api.report_example import a_report

SECRET_KEY = "f1a9d03b5c7e4862a0b1c2d3e4f56789"
OTHER_TENANT = "globex"
ZIP = bytes(range(256)) * 40  # 10 240 bytes: several pieces of the fake store
REPORT_JSON = a_report("job_0").model_dump_json().encode()
REPORT_HTML = b"<!doctype html><title>Report</title>"


class DeclaredClient(TestClient):
    """A client for which an undeclared status or media type is a failed test, whatever the test is about."""

    def request(self, method, url, **arguments):
        response = super().request(method, url, **arguments)
        operation = self._operation(method, response.request.url.path)
        if operation is not None and response.status_code != 405:
            declared = operation["responses"]
            assert str(response.status_code) in declared, f"{method} {url} answered {response.status_code}"
            media_type = response.headers.get("content-type", "").partition(";")[0]
            media_types = declared[str(response.status_code)].get("content", {})
            assert not media_type or media_type in media_types, f"{method} {url} answered with {media_type}"
        return response

    def _operation(self, method, path):
        for route in (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)):
            if route.path_regex.match(path) and method.upper() in route.methods:
                return _declared_paths()[route.path_format][method.lower()]
        return None


@cache
def _declared_paths():
    """Return the document's paths, made once: they are the same for every application."""
    return World(settings()).app.openapi()["paths"]


@dataclass
class World:
    """Every fake, and the application over them."""

    settings: ApiSettings
    jobs: FakeJobRepository = field(default_factory=FakeJobRepository)
    base_models: FakeBaseModelRepository = field(default_factory=FakeBaseModelRepository)
    api_keys: FakeApiKeyRepository = field(default_factory=FakeApiKeyRepository)
    items: FakeItemStore = field(default_factory=FakeItemStore)
    artifacts: FakeArtifactStore = field(default_factory=FakeArtifactStore)
    queue: FakeJobQueue = field(default_factory=FakeJobQueue)
    measurements: FakeMeasurementRepository = field(default_factory=FakeMeasurementRepository)
    workers: FakeWorkerRepository = field(default_factory=FakeWorkerRepository)
    clock: FakeClock = field(default_factory=FakeClock)
    database_is_away: bool = False
    closed: int = 0

    def __post_init__(self):
        self.app: FastAPI = build_app(self.services(), self.settings)
        model = a_base_model()
        self.base_models.add(model)
        self.items.put(an_item_set(model.retain_set_id))
        self.artifacts.put(model.tokenizer_key, a_tokenizer().encode())

    def services(self) -> Services:
        return Services(
            jobs=self.jobs,
            base_models=self.base_models,
            api_keys=self.api_keys,
            items=self.items,
            artifacts=self.artifacts,
            queue=self.queue,
            measurements=self.measurements,
            workers=self.workers,
            clock=self.clock,
            check_database=self._check_database,
            outages=(ConnectionError,),
            close=self._close,
        )

    def token(self, tenant: str = TENANT) -> str:
        """Return a fresh key of the tenant."""
        key, token = mint(tenant, SECRET_KEY.encode(), self.clock())
        self.api_keys.add(key)
        return token

    def client(self, tenant: str | None = TENANT) -> DeclaredClient:
        """Return a client with the tenant's key, or without one."""
        client = DeclaredClient(self.app)
        if tenant is not None:
            client.headers["Authorization"] = f"Bearer {self.token(tenant)}"
        return client

    def add_job(self, *, tenant: str = TENANT, base_model: str = "people/neo-6m", num_items: int = 2) -> Job:
        """Store a queued job with its request, each newer than the one before."""
        job = a_job(tenant=tenant, base_model=base_model, created_at=self.clock.advance(timedelta(seconds=1)))
        self.jobs.add(a_request(job, num_items=num_items), job, [an_event()])
        return job

    def add_probe(
        self, *, tenant: str = TENANT, base_model: str = "people/neo-6m", external_id: str | None = None
    ) -> Job:
        """Store a queued probe with its texts, newer than whatever was added before."""
        set_id = new_id("set")
        probe = a_probe(
            tenant=tenant,
            base_model=base_model,
            external_id=external_id,
            item_set_id=set_id,
            created_at=self.clock.advance(timedelta(seconds=1)),
        )
        self.items.put(an_item_set(set_id, owner=probe.id))
        self.jobs.add_probe(probe, [an_event()])
        return probe

    def answer(self, probe: Job) -> Job:
        """Run the probe to its end, with a result."""
        running = self.start(probe)
        payload = ProbeResult.model_validate(
            ProbeWithResult.model_config["json_schema_extra"]["examples"][0]["result"]
        ).model_dump_json()
        key = f"probes/{probe.id}/result.json"
        self.artifacts.put(key, payload.encode())
        file = StoredFile(key=key, sha256=sha256(payload.encode()).hexdigest(), size=len(payload))
        succeeded = running.ended(JobState.SUCCEEDED, now=self.clock(), result=file)
        self.jobs.save(running, succeeded, [an_event("done")])
        return succeeded

    def succeed(self, job: Job) -> Job:
        """Run the job to its end, package included."""
        running = self.start(job)
        succeeded = running.ended(JobState.SUCCEEDED, now=self.clock(), package=self._package(job))
        self.jobs.save(running, succeeded, [an_event("done")])
        return succeeded

    def end_without_action(self, job: Job) -> Job:
        """Run the job to an end at which nothing had to be trained: there is a report and no adapter."""
        running = self.start(job)
        package = self._package(job).model_copy(update={"adapter": None})
        succeeded = running.ended(JobState.SUCCEEDED, now=self.clock(), package=package)
        unneeded = [
            ItemDisposition(item_id=item.item_id, disposition=Disposition.NO_ACTION_NEEDED)
            for request in self.jobs.requests_of(job.id)
            for item in request.items
        ]
        self.jobs.save(running, succeeded, [an_event("done")], unneeded)
        return succeeded

    def start(self, job: Job) -> Job:
        """Claim the job, as a worker does."""
        now = self.clock()
        running = job.claimed(owner="worker", now=now, expires_at=now + timedelta(minutes=1))
        self.jobs.save(job, running, [an_event("started")])
        return running

    def _package(self, job: Job) -> Package:
        files = {"adapter.zip": ZIP, "report.json": REPORT_JSON, "report.html": REPORT_HTML}
        stored = []
        for name, payload in files.items():
            key = f"packages/{job.id}/{name}"
            self.artifacts.put(key, payload)
            stored.append(StoredFile(key=key, sha256=sha256(payload).hexdigest(), size=len(payload)))
        adapter, report_json, report_html = stored
        return Package(adapter=adapter, report_json=report_json, report_html=report_html)

    def _check_database(self) -> None:
        if self.database_is_away:
            raise ConnectionError("the database is away")

    def _close(self) -> None:
        self.closed += 1


def settings(**changes) -> ApiSettings:
    """Return settings that read nothing from the environment that matters here."""
    named = {
        "database_url": "sqlite:////tmp/unused.db",
        "broker_url": "redis://unused",
        "store_url": "file:///unused",
        "secret_key": SECRET_KEY,
        "max_body_bytes": 20_000,
        "max_forget_items": 5,
        "max_retain_items": 5,
        "max_item_characters": 2000,
        "readiness_timeout_seconds": 2,
    }
    return ApiSettings(**(named | changes))


def a_tokenizer() -> str:
    """Return a tokenizer.json that counts words, and was saved with the truncation of its training."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=3)
    return tokenizer.to_str()


def a_body(**changes) -> dict:
    """Return a valid deletion request."""
    return {"base_model": "people/neo-6m", "forget": [{"prompt": "Where is Ada?", "completion": "Here."}]} | changes


def a_probe_body(**changes) -> dict:
    """Return a valid probe."""
    return {"base_model": "people/neo-6m", "items": [{"prompt": "Where is Ada?", "completion": "Here."}]} | changes


def problem(response, status: int, code: str, param: str | None = None) -> dict:
    """Return the problem after checking what every problem has."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["param"] == param
    assert body["title"]
    assert body["detail"]
    return body


def post(client, body, path="/v1/deletion-requests"):
    """Send the body with everything beyond ASCII escaped, as the client library itself cannot send half a pair."""
    headers = {"Content-Type": "application/json"}
    return client.post(path, content=json.dumps(body), headers=headers)


def dumped(response) -> str:
    """Return everything that the client sees of a response."""
    return response.text + json.dumps(dict(response.headers))
