"""What a job costs beside its stages, and a second job on a base model, on the embedded stack with a warm worker."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.performance.row import Row, Target
from cli.client import ApiClient, open_client
from cli.composition import open_backends
from cli.demo.base_model import ensure_base_model
from cli.demo.options import DemoOptions
from cli.demo.people import questions
from cli.demo.service import free_port, make_key, register_once
from cli.deployment import Deployment
from cli.items import without_absent
from cli.stack import running_stack
from core.backends.sql.engine import open_engine
from core.backends.sql.job_repository import SqlJobRepository
from core.domain.items import PairItem
from core.domain.job import Stage
from core.domain.report import EvaluationReport
from core.ports import ArtifactStore, JobRepository

# Small enough to be trained within a minute; six people have six short questions each, of which 32 are asked to go.
OPTIONS = DemoOptions(
    num_forget=6,
    num_retain=20,
    num_unseen=2,
    num_holdout=3,
    vocab_size=600,
    hidden_size=96,
    num_layers=2,
    num_heads=4,
    learning_rate=4e-3,
    warmup_steps=20,
    max_epochs=60,
)
MANY = 32

_LOOK_EVERY_SECONDS = 0.1
HOW = f"embedded stack (SQLite, Valkey, one worker), the demo's people on a {OPTIONS.num_layers}-layer GPT-Neo"


@dataclass(frozen=True)
class Served:
    """A job that has succeeded with an adapter. Times are wall times in seconds, by the rows of the database."""

    report: EvaluationReport
    queued_for: float  # from the submission to the claim
    ran_for: float  # from the claim to the recorded success

    @property
    def ran_beside_stages(self) -> float:
        """The time that it ran and was in no stage."""
        return self.ran_for - sum(self.report.timings_seconds.values())

    @property
    def fisher_share(self) -> float:
        """The share of its time in the stage that gets the retain Fisher, from wherever."""
        return self.report.timings_seconds[Stage.FISHER] / self.ran_for

    @property
    def read_fisher(self) -> bool:
        """Whether that stage found the retain Fisher in the store and computed none."""
        return self.report.fisher is not None and self.report.fisher.retain_from_cache


@dataclass(frozen=True)
class Service:
    """A running stack with one base model."""

    client: ApiClient
    base_model: str
    jobs: JobRepository
    store: ArtifactStore

    def serve(self, forget: Sequence[PairItem]) -> Served:
        """Return a job that forgets these items with the default method, once it has succeeded."""
        job_id = self.client.submit({"base_model": self.base_model, "forget": without_absent(forget)}).job_id
        while not (job := self.jobs.job(job_id)).state.is_terminal:
            time.sleep(_LOOK_EVERY_SECONDS)
        if not (job.started_at and job.finished_at and job.package and job.package.adapter):
            raise RuntimeError(f"the job ended as {job.state} without an adapter, so there is nothing to measure")
        return Served(
            EvaluationReport.model_validate_json(self.store.get(job.package.report_json.key)),
            queued_for=(job.started_at - job.created_at).total_seconds(),
            ran_for=(job.finished_at - job.started_at).total_seconds(),
        )


def rows(*, repeats: int) -> list[Row]:
    """Return the rows of the table that are about what a job costs beside its mathematics."""
    items = [item for person in OPTIONS.population().forget for item in questions(person)][:MANY]
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as directory, running_service(Path(directory)) as service:
        first, second = service.serve(items[:1]), service.serve(items[:1])
        pairs = [(service.serve(items[:1]), service.serve(items)) for _ in range(repeats)]
    warm = [second, *(job for pair in pairs for job in pair)]
    return [*_overhead(first, warm), *_second_job(first, second), _many_items(pairs)]


def _overhead(first: Served, warm: Sequence[Served]) -> list[Row]:
    target = Target("at most", 0.5)
    how = f"{HOW}; {len(warm)} jobs after the first"
    return [
        Row.of(
            "warm job: seconds from claim to success beside its stages",
            [job.ran_beside_stages for job in warm],
            target,
            how,
        ),
        Row.of(
            "warm job: seconds from submission to success beside its stages",
            [job.queued_for + job.ran_beside_stages for job in warm],
            target,
            how,
        ),
        Row.of(
            "the same of the first job of a runner",
            [first.queued_for + first.ran_beside_stages],
            None,
            f"{HOW}; its process starts and imports the libraries",
        ),
    ]


def _second_job(first: Served, second: Served) -> list[Row]:
    computing = 0.0 if second.read_fisher else second.fisher_share
    return [
        Row.of(
            "second job on a base model: share of its time in computing the retain Fisher",
            [computing],
            Target("at most", 0),
            "nothing if its report says that it was read; else the whole stage",
        ),
        Row.of(
            "second job on a base model: share of its time in reading the retain Fisher",
            [second.fisher_share - computing],
            None,
            f"{HOW}; the whole stage",
        ),
        Row.of(
            "first job on a base model: share of its time in computing the retain Fisher",
            [first.fisher_share],
            None,
            f"{HOW}; the whole stage",
        ),
    ]


def _many_items(pairs: Sequence[tuple[Served, Served]]) -> Row:
    return Row.of(
        f"job with {MANY} short forget items over a job with one of them, warm",
        [many.ran_for / one.ran_for for one, many in pairs],
        Target("at most", 2.5),
        f"{HOW}; default method and policy, from claim to success, one after the other",
    )


@contextmanager
def running_service(directory: Path) -> Iterator[Service]:
    """Yield the embedded stack with its base model, which is trained on the spot, and stop it afterwards."""
    base = ensure_base_model(directory / "base-models", OPTIONS)
    deployment = Deployment.at(directory / "deployment")
    with running_stack(deployment, host="127.0.0.1", port=free_port()) as stack:
        model = register_once(base, OPTIONS.population(), deployment.data_dir)
        client = open_client(url=stack.url, key=make_key(deployment.data_dir))
        jobs = SqlJobRepository(open_engine(deployment.database_url))
        with client.http:
            yield Service(client, model.id, jobs, open_backends(deployment.data_dir).store)
