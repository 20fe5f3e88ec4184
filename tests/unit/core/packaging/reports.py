from datetime import UTC, datetime

from core.domain.base_model import TextFormat
from core.domain.catalog import LokuOptions
from core.domain.report import (
    AttackOutcome,
    AttackPoint,
    AttackResult,
    BaseModelSummary,
    EquivalenceTest,
    EvaluationReport,
    Exposure,
    ExposureChange,
    FisherSummary,
    ForgetQuality,
    ForgetThreshold,
    ItemResult,
    MembershipResult,
    MembershipScore,
    MetricChange,
    OverUnlearned,
    OverUnlearnedScore,
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


def make_outcome(values: dict[str, float], *, course: tuple[float, ...] = ()) -> AttackOutcome:
    """Return what an attack got of each item's extraction strength, and its course at steps 0, 10, 20 and so on."""
    means = {"extraction_strength": sum(values.values()) / len(values)}
    return AttackOutcome(
        items={name: {"extraction_strength": value} for name, value in values.items()},
        means=means,
        n=len(values),
        curve=[
            AttackPoint(x=10 * place, means={"extraction_strength": value}, n=len(values))
            for place, value in enumerate(course)
        ],
    )


def make_attack(**changes: object) -> AttackResult:
    """Return an attack that brings the item ``two`` back, over its limit of 0.25."""
    attack = AttackResult(
        name="relearning",
        variant="neighbours",
        budget={"steps": 20, "learning_rate": 0.001, "forward_tokens": 123456},
        attacked=make_outcome({"one": 0.113, "two": 0.777}, course=(0.051, 0.321, 0.445)),
        unattacked=make_outcome({"one": 0.042, "two": 0.047}),
        reference=make_outcome({"one": 0.031, "two": 0.123}, course=(0.011, 0.066, 0.077)),
        summary={"steps_to_half_extraction_strength": 17.25},
        missing={"reference_steps_to_half_extraction_strength": "not reached within 20 steps"},
    )
    return attack.model_copy(update=changes)


def make_score(auc: float, *, low: float, high: float) -> MembershipScore:
    return MembershipScore(
        auc=auc,
        ci95=(low, high),
        ci95_method="delong",
        p_value=0.0004,
        tpr_at_1pct_fpr=None,
        num_members=61,
        num_others=83,
    )


def make_membership(**changes: object) -> MembershipResult:
    membership = MembershipResult(
        before={"loss": make_score(0.961, low=0.911, high=0.989)},
        after={"loss": make_score(0.512, low=0.433, high=0.591)},
        reference={"loss": make_score(0.123, low=0.082, high=0.187)},
        priv_leak=-8.21,
        absent={
            "reference_difference": "before: no reference model was given",
            "tpr_at_1pct_fpr": "83 holdout items; at least 100 needed",
        },
    )
    return membership.model_copy(update=changes)


def make_over_unlearned(*names: str) -> OverUnlearned:
    """Return that these membership scores are below those of unseen texts, and a metric besides."""
    scores = [
        OverUnlearnedScore(name=name, kind=kind, auc=0.21, ci95=(0.13, 0.33), adjusted_p=0.001)
        for name, kind in [*((name, "membership") for name in names), ("exact_memorization", "metric")]
    ]
    return OverUnlearned(scores=scores, num_asked=8)


def make_forget_quality(**changes: object) -> ForgetQuality:
    equivalence = EquivalenceTest(
        margin=0.223, difference=0.091, p_above_lower=0.0002, p_below_upper=0.031, equivalent=True
    )
    quality = ForgetQuality(
        num_items=61,
        num_reference_items=59,
        ks_distance=0.127,
        ks_distance_ci95=(0.0, 0.254),
        ks_p_value=0.611,
        equivalence=equivalence,
    )
    return quality.model_copy(update=changes)


def make_exposure(*, after: float, p_value: float, reference: Exposure | None = None) -> ExposureChange:
    return ExposureChange(
        before=Exposure(mean=7.911, p_value=1e-9, n=14, num_candidates=256),
        after=Exposure(mean=after, p_value=p_value, n=14, num_candidates=256),
        reference=reference,
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


def make_undrawn_report(**changes: object) -> EvaluationReport:
    """Return a report without anything to draw: drawings are nearly all of what a page takes to render."""
    report = make_report()
    assert report.training is not None
    assert report.holdout is not None
    sets = {
        name: result.model_copy(update={"metrics": {}})
        for name, result in (("forget", report.forget), ("retain", report.retain), ("holdout", report.holdout))
    }
    training = report.training.model_copy(update={"trajectory": []})
    return report.model_copy(update={**sets, "training": training, **changes})
