"""Valid domain values, each argument with a default, so that a test names only what it is about."""

from datetime import datetime

from core.domain.base_model import RegisteredBaseModel, TextFormat
from core.domain.catalog import LokuOptions
from core.domain.device import Device
from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet
from core.domain.items import PairItem
from core.domain.job import Job, Package, Stage, StoredFile
from core.domain.measurement import Measurement
from core.domain.request import DeletionRequest, ItemDisposition
from core.domain.sizes import ModelSizes, SetSize
from core.domain.spec import JobSpec, ProbeSpec
from core.domain.workload import Workload
from tests.fakes.clock import START

TENANT = "acme"
BASE_MODEL = "people/neo-6m"


def an_item(number: int = 0) -> PairItem:
    """Return a pair of a made-up person."""
    return PairItem(id=f"item-{number}", prompt=f"Where does person {number} live?", completion=f"In house {number}.")


def an_item_set(
    set_id: str | None = None, *, num_items: int = 2, owner: str = "dr_1", created_at: datetime = START
) -> ItemSet:
    """Return a set of made-up pairs."""
    items = tuple(an_item(number) for number in range(num_items))
    return ItemSet(
        id=set_id or new_id("set"),
        tenant=TENANT,
        owner=owner,
        items=items,
        commitment="c0ffee",
        created_at=created_at,
    )


def some_sizes() -> ModelSizes:
    """Return what registration found out about the base model and its retain set."""
    return ModelSizes(
        vocab_size=1000,
        hidden_size=256,
        linear_features=(512, 512, 512, 512, 1280, 1280),
        retain=SetSize(num_items=400, num_tokens=8000, longest=40),
    )


def a_workload(*, method: str = "loku", policy: str = "standard-2", tokens: int = 1000, batch: int = 100) -> Workload:
    """Return what a job has to get through, of this size in each stage that reads tokens."""
    read = ("prepare", "baseline", "fisher", "initialize", "train", "evaluate", "attack")
    return Workload(
        method=method,
        policy=policy,
        steps=120,
        forget_tokens=tokens,
        tokens=dict.fromkeys(read, tokens),
        shares_statistics=True,
        num_parameters=6_000_000,
        adapter_entries=100_000,
        batch_tokens=batch,
        values_per_token=20_000,
    )


CPU = Device(kind="cpu", name="a CPU, 2 threads", memory_bytes=8 * 2**30)


def a_measurement(
    workload: Workload | None = None,
    *,
    seconds: float = 10.0,
    peak: int | None = 2**30,
    device: Device = CPU,
    weights_sha256: str = "ab" * 32,
    measured_at: datetime = START,
) -> Measurement:
    """Return what a job took: so long in each stage."""
    return Measurement(
        weights_sha256=weights_sha256,
        device=device,
        workload=workload or a_workload(),
        steps=60,
        reused_statistics=True,
        start_seconds=5.0,
        seconds={stage.value: seconds for stage in Stage},
        peak_memory_bytes=peak,
        measured_at=measured_at,
    )


def a_base_model(model_id: str = BASE_MODEL, *, retain_set_id: str | None = "set_retain") -> RegisteredBaseModel:
    """Return a registered base model."""
    return RegisteredBaseModel(
        id=model_id,
        source="/models/neo-6m",
        revision=None,
        weights_sha256="ab" * 32,
        architecture="GPTNeoForCausalLM",
        num_parameters=6_000_000,
        num_layers=5,
        linear_names=(
            "transformer.h.*.attn.attention.k_proj",
            "transformer.h.*.attn.attention.out_proj",
            "transformer.h.*.attn.attention.q_proj",
            "transformer.h.*.attn.attention.v_proj",
            "transformer.h.*.mlp.c_fc",
            "transformer.h.*.mlp.c_proj",
        ),
        max_tokens=256,
        text_format=TextFormat(separator=" ", measured=True),
        tokenizer_key="base-models/neo-6m/tokenizer.json",
        retain_set_id=retain_set_id,
        holdout_set_id=None,
        num_retain_items=400 if retain_set_id else 0,
        num_holdout_items=0,
        sizes=some_sizes(),
        created_at=START,
    )


def a_job(
    job_id: str | None = None, *, tenant: str = TENANT, base_model: str = BASE_MODEL, created_at: datetime = START
) -> Job:
    """Return a queued job."""
    spec = JobSpec(
        base_model=base_model,
        weights_sha256="ab" * 32,
        method=LokuOptions(seed=7),
        policy="standard-1",
        forget_set_id="set_forget",
        retain_set_id=None,
        holdout_set_id=None,
        registered_retain_set_id="set_retain",
    )
    return Job(id=job_id or new_id("job"), tenant=tenant, spec=spec, workload=a_workload(), created_at=created_at)


def a_probe(
    probe_id: str | None = None,
    *,
    tenant: str = TENANT,
    base_model: str = BASE_MODEL,
    external_id: str | None = None,
    item_set_id: str = "set_probed",
    created_at: datetime = START,
) -> Job:
    """Return a queued probe."""
    spec = ProbeSpec(
        base_model=base_model,
        weights_sha256="ab" * 32,
        policy="standard-1",
        item_set_id=item_set_id,
        num_items=2,
        holdout_set_id=None,
        external_id=external_id,
        metadata={"ticket": "42"},
    )
    return Job(id=probe_id or new_id("prb"), tenant=tenant, spec=spec, created_at=created_at)


def a_request(
    job: Job, request_id: str | None = None, *, external_id: str | None = None, num_items: int = 2
) -> DeletionRequest:
    """Return the request that the job serves."""
    return DeletionRequest(
        id=request_id or new_id("dr"),
        tenant=job.tenant,
        job_id=job.id,
        base_model=job.spec.base_model,
        external_id=external_id,
        metadata={"ticket": "42"},
        items=tuple(ItemDisposition(item_id=f"item-{number}") for number in range(num_items)),
        created_at=job.created_at,
    )


def an_event(message: str = "waiting for a worker", kind: EventType = EventType.QUEUED) -> NewEvent:
    """Return an event that is not stored yet."""
    return NewEvent(type=kind, message=message, created_at=START)


def a_package() -> Package:
    """Return the files of a succeeded job."""
    names = ("adapter.zip", "report.json", "report.html")
    adapter, report_json, report_html = (StoredFile(key=f"packages/{name}", sha256="cd" * 32, size=9) for name in names)
    return Package(adapter=adapter, report_json=report_json, report_html=report_html)


def a_result() -> StoredFile:
    """Return the file of a probe that succeeded."""
    return StoredFile(key="probes/result.json", sha256="cd" * 32, size=9)
