"""Deployments to ask things of: one after its first jobs, and copies of it with many times as many."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from sqlalchemy import select
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from api.main import create_app
from api.services import Services
from api.settings import ApiSettings
from bench.performance.http_sides import broker
from bench.performance.http_table import DEVICE, Lives, first_jobs, multiply
from bench.performance.recorded_sql import Recorded, recording
from cli.composition import migrate, open_backends, utc_now
from cli.demo.options import DemoOptions
from cli.demo.people import questions
from cli.demo.tokenizer import train_tokenizer
from cli.deployment import Deployment
from cli.items import without_absent
from core.backends.sql.engine import open_engine
from core.backends.sql.tables import jobs
from core.domain.api_key import mint
from core.domain.base_model import RegisteredBaseModel, TextFormat
from core.domain.device import LiveWorker
from core.domain.sizes import ModelSizes, SetSize

TENANTS = ("acme", "globex", "initech", "umbrella", "hooli")

_PEOPLE = DemoOptions(num_forget=20, num_retain=20, num_unseen=0, num_holdout=0).population()
_MODEL_ID = "people/neo-6m"
_TOKENIZER_KEY = "tokenizers/bench/tokenizer.json"


@dataclass(frozen=True)
class Filled:
    """A deployment whose tables hold jobs, and a key of the first tenant."""

    deployment: Deployment
    key: str

    @property
    def bodies(self) -> list[dict[str, object]]:
        """The deletion requests that it is sent: each the six questions about one person."""
        return [
            {
                "base_model": _MODEL_ID,
                "forget": without_absent(questions(person)),
                "external_id": f"case of {person.id}",
                "metadata": {"ticket": person.id},
            }
            for person in _PEOPLE.forget
        ]

    def job_ids(self, *, limit: int) -> list[str]:
        """Return jobs of the first tenant, here and there in the table, the same for the same table."""
        engine = open_engine(self.deployment.database_url)
        with engine.connect() as connection:
            found = connection.execute(select(jobs.c.id).where(jobs.c.tenant == TENANTS[0])).scalars().all()
        engine.dispose()
        return Random(0).sample(sorted(found), min(limit, len(found)))  # noqa: S311  # not a secret

    def copied(self, directory: Path, *, times: int = 1) -> "Filled":
        """Return a copy in this directory with so many times the jobs. Nothing may run on this one meanwhile."""
        shutil.copytree(self.deployment.data_dir, directory, ignore=shutil.ignore_patterns("run", "logs"))
        copy = Filled(Deployment.at(directory), self.key)
        if times > 1:
            engine = open_engine(copy.deployment.database_url)
            multiply(engine, times=times)
            engine.dispose()
        return copy

    def recorded(self) -> Recorded:
        """Return the SQL of one GET and of one POST, as our own application sends it."""
        with broker(self.deployment), _application(self.deployment) as (client, _):
            client.headers["Authorization"] = f"Bearer {self.key}"
            with recording() as post:
                answer = client.post("/v1/deletion-requests", json=self.bodies[0]).raise_for_status().json()
            with recording() as get:
                client.get(f"/v1/jobs/{answer['job_id']}").raise_for_status()
        return Recorded(get, post, answer)


def filled(directory: Path, *, count: int) -> Filled:
    """Return a new deployment after so many jobs, with a base model and one live worker that has told its memory."""
    migrate(directory)
    deployment = Deployment.at(directory)
    keys = [_new_key(deployment, tenant) for tenant in TENANTS]
    _register(deployment)
    whole = Filled(deployment, keys[0])
    with broker(deployment), _application(deployment) as (client, services):
        # No worker runs, so the last word of this one must do for as long as the benchmark takes.
        seen_at = utc_now() + timedelta(days=1)
        services.workers.seen(LiveWorker(owner="worker@bench", device=DEVICE, seen_at=seen_at))
        first_jobs(client, keys, whole.bodies, Lives(services), count=count)
    return whole


def _new_key(deployment: Deployment, tenant: str) -> str:
    backends = open_backends(deployment.data_dir)
    key, token = mint(tenant, backends.secret_key, utc_now())
    backends.api_keys.add(key)
    return token


def _register(deployment: Deployment) -> None:
    """Register a base model by its row and its tokenizer. The API reads no weights, so there are none."""
    texts = [
        f"{item.prompt} {item.completion}"
        for person in (*_PEOPLE.forget, *_PEOPLE.retain)
        for item in questions(person)
    ]
    tokenizer = train_tokenizer(texts, vocab_size=1536)
    backends = open_backends(deployment.data_dir)
    backends.store.put(_TOKENIZER_KEY, tokenizer.backend_tokenizer.to_str().encode())
    backends.base_models.add(
        RegisteredBaseModel(
            id=_MODEL_ID,
            source="/models/neo-6m",
            revision=None,
            weights_sha256="ab" * 32,
            architecture="GPTNeoForCausalLM",
            num_parameters=2_100_000,
            num_layers=4,
            linear_names=tuple(
                f"transformer.h.*.{name}" for name in ("attn.attention.q_proj", "mlp.c_fc", "mlp.c_proj")
            ),
            max_tokens=128,
            text_format=TextFormat(separator=" ", measured=True),
            tokenizer_key=_TOKENIZER_KEY,
            retain_set_id="set_retain",
            holdout_set_id=None,
            num_retain_items=336,
            num_holdout_items=0,
            sizes=ModelSizes(
                vocab_size=1536,
                hidden_size=192,
                linear_features=(384, 960, 960),
                retain=SetSize(num_items=336, num_tokens=7000, longest=60),
            ),
            created_at=utc_now(),
        )
    )


@contextmanager
def _application(deployment: Deployment) -> Iterator[tuple[TestClient, Services]]:
    """Yield a client of our own application in this process, which logs nothing, and what the application is over."""
    names = {name.removeprefix("LETHE_").lower(): value for name, value in deployment.environment.items()}
    app = create_app(ApiSettings.model_validate(names))
    with capture_logs(), TestClient(app) as client:  # whose end closes what the application opened
        yield client, app.state.services
