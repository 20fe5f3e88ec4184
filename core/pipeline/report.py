import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.domain.policy import POLICIES
from core.domain.report import (
    BaseModelSummary,
    EvaluationReport,
    ItemResult,
    Thresholds,
    Verdict,
)
from core.domain.request import Disposition, ItemDisposition
from core.evaluation.attack_gates import GatedAttack
from core.evaluation.attacks import ATTACKS
from core.evaluation.verdict import Judgement
from core.modeling.base_model import BaseModel
from core.packaging.attack_finding import left_open_by_teaching
from core.packaging.attack_notes import teaches_items
from core.pipeline.learn import Learned
from core.pipeline.measure import Comparison
from core.pipeline.sets import EncodedSets
from core.pipeline.task import RunTask

LIBRARIES = ("lethe", "torch", "transformers", "peft", "tokenizers", "safetensors", "scipy", "rouge-score")

ALWAYS_UNESTABLISHED = [
    "The base model's weights are unchanged: whoever serves them without this adapter has the memory back.",
    "The result is not shown to equal a model retrained without the forget set.",
    "Copies of the texts outside this base model (other models, indexes, backups) are not covered.",
]
UNESTABLISHED_WITHOUT = {
    "relearning": "Resistance to fine-tuning that teaches the texts again was not measured.",
    "quantisation": "Quantised variants of the base model with this adapter were not measured.",
    "prompts": "Paraphrased or adversarial prompts were not measured; only the prompts of the request were.",
    "sampling": "What the model writes when it draws words at random was not measured, only its first choices.",
}
UNESTABLISHED_WITH = {
    "relearning": (
        "Fine-tuning on the forgotten texts themselves was not tried: a model that knew them may learn them sooner "
        "than one that never did. Nor was fine-tuning for longer, or at other rates."
    ),
    "quantisation": "Other ways of quantising than those that were simulated may behave differently.",
    "prompts": "Other prompts than the few that were tried may still draw the texts out.",
    "sampling": "More samples than were drawn may still hold the texts.",
}


@dataclass(frozen=True)
class Facts:
    """What the recipe found out on its way."""

    judgement: Judgement
    thresholds: Thresholds
    comparison: Comparison
    seconds: dict[str, float]
    learned: Learned | None = None  # None: no action was needed
    attacks: Sequence[GatedAttack] = ()


def assemble(task: RunTask, base: BaseModel, sets: EncodedSets, facts: Facts, *, now: datetime) -> EvaluationReport:
    """Return the report: ids, numbers and versions, no text."""
    registered, learned = task.base_model, facts.learned
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
        forget=facts.judgement.mark(facts.comparison.forget, facts.thresholds),
        retain=facts.comparison.retain,
        holdout=facts.comparison.holdout,
        membership=facts.comparison.membership,
        over_unlearned=facts.comparison.over_unlearned,
        truth_ratio=facts.comparison.truth_ratio,
        forget_quality=facts.comparison.forget_quality,
        exposure=facts.comparison.exposure,
        attacks=[result for attack in facts.attacks for result in attack.results],
        not_measured=facts.comparison.not_measured | _attacks_left_out(task),
        training=learned.training if learned else None,
        fisher=learned.fisher if learned else None,
        edit=learned.edit if learned else None,
        excluded_retain_items=sets.excluded_retain,
        excluded_holdout_items=sets.excluded_holdout,
        duplicate_retain_items=sets.duplicate_retain,
        retain_rows_unseen=sets.measures_unseen,
        adapter_rank=2 * task.spec.method.r if learned else None,
        target_modules=sorted(learned.adapter.layers) if learned else [],
        seeds={"method": task.spec.method.seed},
        versions=versions(),
        device=base.device.type,
        dtype=str(base.model.dtype).removeprefix("torch."),
        timings_seconds=dict(facts.seconds),
        does_not_establish=[
            *ALWAYS_UNESTABLISHED,
            *([] if learned is None or sets.measures_unseen else [_rehearsed(facts.thresholds)]),
            *_unestablished(facts),
        ],
    )


def _attacks_left_out(task: RunTask) -> dict[str, str]:
    """Return the attacks that the policy leaves out; those that could not be made say so themselves."""
    policy = POLICIES[task.spec.policy]
    planned = {attack.name for attack in policy.attacks}
    return {name: f"policy {policy.name} leaves this attack out" for name in ATTACKS if name not in planned}


def _rehearsed(thresholds: Thresholds) -> str:
    """Return what a retain set that was trained on as a whole leaves open."""
    asked = any(bound.set_name == "holdout" for bound in thresholds.perplexity)
    only = "; of other texts only how surprising the holdout set is was held to a limit" if asked else ""
    return (
        "Knowledge beside the retain set is not shown to be kept: the measured retain rows were trained on as well, "
        f"for there were too few to set some aside{only}."
    )


def _unestablished(facts: Facts) -> list[str]:
    made = [result for attack in facts.attacks for result in attack.results if result.attacked is not None]
    names = {result.name for result in made}
    taught = [left_open_by_teaching(result) for result in made if teaches_items(result)]
    told = {**UNESTABLISHED_WITH, **({"relearning": " ".join(taught)} if taught else {})}
    return [told[name] if name in names else UNESTABLISHED_WITHOUT[name] for name in told]


def versions() -> dict[str, str]:
    """Return the versions of everything that computes, the interpreter included."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def dispositions(report: EvaluationReport) -> tuple[ItemDisposition, ...]:
    """Return what became of each forget item."""
    return tuple(
        ItemDisposition(item_id=item.id, disposition=_disposition(item, report.verdict)) for item in report.forget.items
    )


def _disposition(item: ItemResult, verdict: Verdict) -> Disposition:
    """Return what became of an item. An adapter that should not be served has fulfilled nothing, whatever it forgot."""
    match verdict:
        case Verdict.NO_ACTION_NEEDED:
            return Disposition.NO_ACTION_NEEDED
        case Verdict.DAMAGED | Verdict.NOT_FORGOTTEN:
            return Disposition.NOT_FORGOTTEN
        case _ if not item.forgotten:
            return Disposition.NOT_FORGOTTEN
        case _:
            return Disposition.NO_ACTION_NEEDED if item.was_known is False else Disposition.FORGOTTEN
