from core.domain.base_model import TextFormat
from core.domain.catalog import LokuOptions
from core.domain.report import (
    BaseModelSummary,
    EvaluationReport,
    ForgetThreshold,
    ItemResult,
    MetricChange,
    RetainThreshold,
    SetResult,
    Thresholds,
    TrainingSummary,
    TrajectoryPoint,
    Verdict,
)
from tests.fakes.clock import START


def a_report(job_id: str) -> EvaluationReport:
    """Return a report with something in every section that has one."""
    result = SetResult(
        num_items=1,
        num_measured=1,
        metrics={"extraction_strength": MetricChange(before=1.0, after=0.05, n=1)},
        absent={"perplexity": "not asked for"},
        items=[ItemResult(id="item-0", before={"extraction_strength": 1.0}, after={}, forgotten=True)],
    )
    return EvaluationReport(
        job_id=job_id,
        created_at=START,
        verdict=Verdict.FORGOTTEN,
        base_model=BaseModelSummary(
            id="people/neo-6m",
            source="/models/neo-6m",
            revision=None,
            weights_sha256="ab" * 32,
            architecture="GPTNeoForCausalLM",
            num_parameters=6_000_000,
            text_format=TextFormat(),
        ),
        method=LokuOptions(),
        thresholds=Thresholds(
            policy="standard-1",
            source="policy",
            forget=[ForgetThreshold(metric="extraction_strength", at_most=0.06, item_at_most=0.25)],
            retain=[RetainThreshold(metric="memorization_accuracy", at_least_ratio=0.95)],
        ),
        forget=result,
        retain=result,
        holdout=None,
        training=TrainingSummary(
            steps=1,
            planned_steps=2,
            delivered_step=2,
            stopped_early=True,
            resumed_from_step=None,
            trajectory=[TrajectoryPoint(step=1, forget_loss=1.0, retain_loss=0.5)],
        ),
        fisher=None,
        excluded_retain_items=0,
        excluded_holdout_items=0,
        duplicate_retain_items=0,
        retain_rows_unseen=True,
        adapter_rank=32,
        target_modules=["q_proj"],
        seeds={"training": 42},
        versions={"lethe": "0.1.0"},
        device="cpu",
        dtype="float32",
        timings_seconds={"train": 1.5},
        does_not_establish=["that the texts are nowhere else"],
    )
