"""One job of the service's own recipe, without the service around it, for benchmarks."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.migrate import upgrade
from core.backends.storage.object_store import open_store
from core.data.corpus import AnyItem, Example, ItemEncoder
from core.domain.base_model import ReferenceModel, RegisteredBaseModel
from core.domain.catalog import MethodOptions
from core.domain.item_set import ItemSet, with_ids
from core.domain.job import Stage
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.report import EvaluationReport
from core.domain.spec import JobSpec
from core.evaluation.evaluate import evaluate
from core.evaluation.metrics import METRICS
from core.modeling.base_model import BaseModel, choose_device, load_base_model, weights_digest
from core.modeling.inspect import inspect_base_model
from core.pipeline.run import run
from core.pipeline.task import RunTask

_TENANT = "bench"


@dataclass(frozen=True)
class Silent:
    """A monitor for runs that nobody watches."""

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """Say nothing."""

    def advance(self, step: int) -> None:
        """Say nothing."""

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """Say nothing."""

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep nothing."""

    def load_checkpoint(self) -> None:
        """There is none."""


@dataclass(frozen=True)
class Texts:
    """What a job is about, and rows that no part of it reads."""

    forget: Sequence[AnyItem]
    retain: Sequence[AnyItem]
    unseen: Sequence[AnyItem]
    holdout: Sequence[AnyItem] = ()
    general: Sequence[AnyItem] = ()


@dataclass(frozen=True)
class Measured:
    """What a job did: metrics by name, before and after."""

    report: EvaluationReport
    seconds: float
    forget: tuple[dict[str, float], dict[str, float]]
    unseen: tuple[dict[str, float], dict[str, float]]


@dataclass(frozen=True)
class Finished:
    """A job that has run: what it reports, and what it takes to measure what it delivers."""

    report: EvaluationReport
    seconds: float
    base: BaseModel  # as it was; an adapter that is put on it is on it from then on
    encode: ItemEncoder  # reads items as the job did
    adapter: Path | None  # None: no action was needed

    def adapted(self) -> PreTrainedModel:
        """Return the base model with the exported adapter on it, by plain PEFT."""
        if self.adapter is None:
            return self.base.model
        return PeftModel.from_pretrained(self.base.model, self.adapter).base_model.model


@contextmanager
def finished_job(
    base_model: Path,
    texts: Texts,
    options: MethodOptions,
    *,
    policy: PolicyName = DEFAULT_POLICY,
    reference: Path | None = None,
) -> Iterator[Finished]:
    """Run one job on this base model and hand out what it made; its files are gone afterwards.

    Args:
        base_model: the directory of the base model.
        texts: what the job is about; its general corpus is what the attacker fine-tunes on as well.
        options: of the method.
        policy: what is measured.
        reference: the directory of a model that never saw the forget set, to be registered with the base model.

    Raises:
        JobFailure: the job cannot succeed, as when training diverges.
    """
    registered = _registered(base_model, texts, reference)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        started = time.perf_counter()
        outcome = run(
            _task(registered, texts, options, work, policy=policy),
            Silent(),
            open_store(f"file://{work}/store"),
            _item_store(work),
            _now,
        )
        seconds = time.perf_counter() - started
        base = load_base_model(base_model, device=choose_device("auto"))
        encode = ItemEncoder(base.tokenizer, registered.text_format, base.max_tokens)
        adapter = None if outcome.adapter_zip is None else work / "adapter"
        yield Finished(outcome.report, seconds, base, encode, adapter)


def run_job(
    base_model: Path,
    texts: Texts,
    options: MethodOptions,
    *,
    metrics: Sequence[str],
    policy: PolicyName = DEFAULT_POLICY,
) -> Measured:
    """Return what one job on this base model forgot, and what rows that it never read lost.

    The metrics are measured on the exported adapter, loaded by plain PEFT on the untouched base model.
    """
    with finished_job(base_model, texts, options, policy=policy) as job:
        forget, unseen = job.encode(with_ids(texts.forget)), job.encode(with_ids(texts.unseen))
        before = [_metrics(job.base.model, job.base, rows, metrics) for rows in (forget, unseen)]
        adapted = job.adapted()
        after = [_metrics(adapted, job.base, rows, metrics) for rows in (forget, unseen)]
    return Measured(job.report, job.seconds, (before[0], after[0]), (before[1], after[1]))


def _metrics(
    model: PreTrainedModel, base: BaseModel, rows: Sequence[Example], names: Sequence[str]
) -> dict[str, float]:
    return evaluate(model, rows, pad_id=base.pad_id, metrics={name: METRICS[name] for name in names}).metrics


def _registered(path: Path, texts: Texts, reference: Path | None) -> RegisteredBaseModel:
    found = inspect_base_model(str(path), None, with_ids(texts.retain))
    return RegisteredBaseModel(
        id="bench",
        source=str(path),
        revision=None,
        weights_sha256=found.weights_sha256,
        architecture=found.architecture,
        num_parameters=found.num_parameters,
        num_layers=found.num_layers,
        linear_names=found.linear_names,
        max_tokens=found.max_tokens,
        text_format=found.text_format,
        tokenizer_key="-",
        retain_set_id="set_retain",
        holdout_set_id="set_holdout" if texts.holdout else None,
        general_set_id="set_general" if texts.general else None,
        num_retain_items=len(texts.retain),
        num_holdout_items=len(texts.holdout),
        num_general_items=len(texts.general),
        reference=None if reference is None else _reference(reference),
        created_at=_now(),
    )


def _reference(path: Path) -> ReferenceModel:
    return ReferenceModel(source=str(path), revision=None, weights_sha256=weights_digest(path))


def _task(
    registered: RegisteredBaseModel, texts: Texts, options: MethodOptions, work: Path, *, policy: PolicyName
) -> RunTask:
    spec = JobSpec(
        base_model=registered.id,
        weights_sha256=registered.weights_sha256,
        method=options,
        policy=current(policy).name,
        forget_set_id="set_forget",
        retain_set_id=None,
        holdout_set_id=registered.holdout_set_id,
        registered_retain_set_id=registered.retain_set_id,
        general_set_id=registered.general_set_id,
    )
    return RunTask(
        job_id="job_bench",
        spec=spec,
        base_model=registered,
        forget=_item_set("set_forget", texts.forget),
        retain=_item_set("set_retain", texts.retain),
        holdout=_item_set("set_holdout", texts.holdout) if texts.holdout else None,
        general=_item_set("set_general", texts.general) if texts.general else None,
        device="auto",
        work_dir=work,
    )


def _item_set(set_id: str, items: Sequence[AnyItem]) -> ItemSet:
    return ItemSet(
        id=set_id, tenant=_TENANT, owner="dr_bench", items=with_ids(items), commitment="-", created_at=_now()
    )


def _item_store(work: Path) -> SqlItemStore:
    url = f"sqlite:///{work}/items.db"
    upgrade(url)
    return SqlItemStore(open_engine(url))


def _now() -> datetime:
    return datetime.now(UTC)
