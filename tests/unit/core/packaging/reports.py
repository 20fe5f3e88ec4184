from datetime import UTC, datetime

from core.domain.base_model import TextFormat
from core.domain.catalog import LokuOptions
from core.domain.report import (
    BaseModelSummary,
    EvaluationReport,
    FisherSummary,
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


def make_set(*, before: float, after: float, ids: tuple[str, ...], forgotten: bool | None = None) -> SetResult:
    names = ("extraction_strength", "memorization_accuracy")
    return SetResult(
        num_items=len(ids),
        num_measured=len(ids),
        metrics={name: MetricChange(before=before, after=after, n=len(ids)) for name in names},
        absent={"extraction_likelihood": "no item is long enough"},
        items=[
            ItemResult(id=i, before=dict.fromkeys(names, before), after={names[0]: after}, forgotten=forgotten)
            for i in ids
        ],
    )


def make_report(**changes: object) -> EvaluationReport:
    report = EvaluationReport(
        job_id="job_1",
        created_at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        verdict=Verdict.FORGOTTEN,
        base_model=BaseModelSummary(
            id="demo/people",
            source="/srv/models/people",
            revision=None,
            weights_sha256="ab" * 32,
            architecture="GPTNeoForCausalLM",
            num_parameters=2_097_024,
            text_format=TextFormat(),
        ),
        method=LokuOptions(),
        thresholds=Thresholds(
            policy="standard-1",
            source="holdout",
            forget=[
                ForgetThreshold(
                    metric="extraction_strength",
                    at_most=0.081,
                    item_at_most=0.25,
                    holdout_mean=0.052,
                    holdout_ci95=(0.031, 0.081),
                ),
                ForgetThreshold(metric="answer_probability", at_most=0.6, item_at_most=0.8),
            ],
            retain=[RetainThreshold(metric="memorization_accuracy", at_least_ratio=0.95)],
            holdout_refused={"answer_probability": "there is no interval"},
        ),
        forget=make_set(before=1.0, after=0.043, ids=("one", "two"), forgotten=True),
        retain=make_set(before=0.998, after=0.987, ids=("kept",)),
        holdout=make_set(before=0.052, after=0.049, ids=("never",)),
        training=TrainingSummary(
            steps=3,
            planned_steps=60,
            delivered_step=40,
            stopped_early=True,
            resumed_from_step=2,
            trajectory=[
                TrajectoryPoint(step=1, forget_loss=1.9, retain_loss=0.1, forget_metrics={"extraction_strength": 0.9}),
                TrajectoryPoint(step=2, forget_loss=1.0, retain_loss=0.2),
                TrajectoryPoint(step=3, forget_loss=0.2, retain_loss=0.1, forget_metrics={"extraction_strength": 0.1}),
            ],
        ),
        fisher=FisherSummary(mode="exact", retain_items=336, retain_from_cache=True, epsilon_share=0.21),
        excluded_retain_items=3,
        excluded_holdout_items=0,
        duplicate_retain_items=0,
        retain_rows_unseen=True,
        adapter_rank=32,
        target_modules=["c_fc", "q_proj"],
        seeds={"method": 42},
        versions={"torch": "2.13.0"},
        device="cpu",
        dtype="float32",
        timings_seconds={"train": 12.34},
        does_not_establish=["Paraphrases were not measured."],
    )
    return report.model_copy(update=changes)
