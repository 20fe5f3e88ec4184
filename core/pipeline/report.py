import importlib.metadata
import platform
from dataclasses import dataclass
from datetime import datetime

from core.domain.report import (
    BaseModelSummary,
    EvaluationReport,
    SetResult,
    Thresholds,
)
from core.domain.request import Disposition, ItemDisposition
from core.evaluation.verdict import Judgement
from core.modeling.base_model import BaseModel
from core.pipeline.learn import Learned
from core.pipeline.measure import Comparison
from core.pipeline.sets import EncodedSets
from core.pipeline.task import RunTask

LIBRARIES = ("lethe", "torch", "transformers", "peft", "tokenizers", "safetensors")

DOES_NOT_ESTABLISH = [
    "The base model's weights are unchanged: whoever serves them without this adapter has the memory back.",
    "The result is not shown to equal a model retrained without the forget set.",
    "Copies of the texts outside this base model (other models, indexes, backups) are not covered.",
    "Resistance to fine-tuning that teaches the texts again was not measured.",
    "Quantised variants of the base model with this adapter were not measured.",
    "Paraphrased or adversarial prompts were not measured; only the prompts of the request were.",
]


@dataclass(frozen=True)
class Facts:
    """What the recipe found out on its way."""

    judgement: Judgement
    thresholds: Thresholds
    comparison: Comparison
    learned: Learned
    seconds: dict[str, float]


def assemble(task: RunTask, base: BaseModel, sets: EncodedSets, facts: Facts, *, now: datetime) -> EvaluationReport:
    """Return the report: ids, numbers and versions, no text."""
    registered = task.base_model
    return EvaluationReport(
        job_id=task.job_id,
        created_at=now,
        verdict=facts.judgement.verdict,
        verdict_reasons=list(facts.judgement.reasons),
        base_model=BaseModelSummary(
            id=registered.id,
            source=registered.public_name,
            revision=registered.revision,
            weights_sha256=registered.weights_sha256,
            architecture=registered.architecture,
            num_parameters=registered.num_parameters,
            text_format=registered.text_format,
        ),
        method=task.spec.method,
        thresholds=facts.thresholds,
        forget=facts.judgement.mark(facts.comparison.forget),
        retain=facts.comparison.retain,
        holdout=facts.comparison.holdout,
        training=facts.learned.training,
        fisher=facts.learned.fisher,
        edit=facts.learned.edit,
        excluded_retain_items=sets.excluded_retain,
        excluded_holdout_items=sets.excluded_holdout,
        duplicate_retain_items=sets.duplicate_retain,
        retain_rows_unseen=sets.measures_unseen,
        adapter_rank=2 * task.spec.method.r,
        target_modules=sorted(facts.learned.adapter.layers),
        seeds={"method": task.spec.method.seed},
        versions=versions(),
        device=base.device.type,
        dtype=str(base.model.dtype).removeprefix("torch."),
        timings_seconds=dict(facts.seconds),
        does_not_establish=DOES_NOT_ESTABLISH,
    )


def versions() -> dict[str, str]:
    """Return the versions of everything that computes, the interpreter included."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def dispositions(forget: SetResult) -> tuple[ItemDisposition, ...]:
    """Return what became of each forget item."""
    return tuple(
        ItemDisposition(
            item_id=item.id,
            disposition=Disposition.FORGOTTEN if item.forgotten else Disposition.NOT_FORGOTTEN,
        )
        for item in forget.items
    )
