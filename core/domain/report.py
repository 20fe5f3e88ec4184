"""The evaluation report as data. The light half serves it; the heavy half fills it."""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from core.domain.base_model import TextFormat
from core.domain.catalog import MethodOptions

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Verdict(StrEnum):
    """What the measurements say, over the thresholds that the report names."""

    FORGOTTEN = "forgotten"  # the gates of the forget set and of the retain set hold
    PARTLY_FORGOTTEN = "partly_forgotten"  # utility is kept and some items pass their own gate, but not the whole
    NOT_FORGOTTEN = "not_forgotten"  # no item passes
    NO_ACTION_NEEDED = "no_action_needed"  # the base model knows the texts no better than the holdout set: no training
    DAMAGED = "damaged"  # a gate of the retain set failed: the adapter costs more than it should


class MetricChange(BaseModel):
    """A metric on one set. ``n`` is the number of items it was computed on, and its intervals are over these items."""

    model_config = _FROZEN
    before: float
    after: float
    n: int
    before_ci95: tuple[float, float] | None = None  # None: too few items
    after_ci95: tuple[float, float] | None = None
    reference: float | None = None  # under a model trained without the forget set; None: there is none


class ItemResult(BaseModel):
    """One item's metrics by name. A metric that is undefined for this item is absent."""

    model_config = _FROZEN
    id: str
    before: dict[str, float]
    after: dict[str, float]
    forgotten: bool | None = None  # asked of forget items only
    was_known: bool | None = None  # forget items: whether the base model was over the limits of an item; None: unasked


class SetResult(BaseModel):
    """The metrics of one set: the aggregate, each item, and the reason for whatever is missing."""

    model_config = _FROZEN
    num_items: int
    num_measured: int
    metrics: dict[str, MetricChange]
    absent: dict[str, str]
    items: list[ItemResult]


class MembershipScore(BaseModel):
    """How well one score tells forget items from holdout items: AUC 1 is training data, 0.5 ideal, 0 over-unlearned."""

    model_config = _FROZEN
    auc: float
    ci95: tuple[float, float]
    ci95_method: Literal["delong", "clopper_pearson"]  # the latter where all pairs fell out alike
    p_value: float  # two-sided, of no difference between the sets
    tpr_at_1pct_fpr: float | None  # None: fewer than 100 holdout items
    num_members: int
    num_others: int


class MembershipResult(BaseModel):
    """Membership inference by score, before and after, and the reason for whatever is missing."""

    model_config = _FROZEN
    before: dict[str, MembershipScore]
    after: dict[str, MembershipScore]
    reference: dict[str, MembershipScore] | None  # under a model trained without the forget set; None: there is none
    priv_leak: float | None  # percent; 0 is ideal, below it still leaks, above it is over-unlearned
    absent: dict[str, str]


class OverUnlearnedScore(BaseModel):
    """A score by which the model makes less of the forget items now than of texts that it never saw."""

    model_config = _FROZEN
    name: str
    kind: Literal["membership", "metric"]
    auc: float  # as of a membership score: 0 where every forget item is stranger to the model than every unseen one
    ci95: tuple[float, float]
    adjusted_p: float  # two-sided, of no difference between the sets; Holm's correction for all that were asked


class OverUnlearned(BaseModel):
    """By what the forget items are told from unseen texts as the stranger ones: that alone tells of a deletion."""

    model_config = _FROZEN
    scores: list[OverUnlearnedScore]  # empty: by none
    num_asked: int


class EquivalenceTest(BaseModel):
    """Two one-sided tests of whether two means differ by less than a margin that was set beforehand."""

    model_config = _FROZEN
    margin: float
    difference: float  # of the model's mean from the reference's
    p_above_lower: float  # small: the true difference is above minus the margin
    p_below_upper: float  # small: it is below the margin
    equivalent: bool  # both are below 0.05


class ForgetQuality(BaseModel):
    """How alike the truth ratios of the model and of a reference that never saw the forget set are."""

    model_config = _FROZEN
    num_items: int  # of the model
    num_reference_items: int
    ks_distance: float  # Kolmogorov-Smirnov, 0 to 1
    ks_distance_ci95: tuple[float, float]
    ks_p_value: float  # exact; TOFU's forget quality, which says nothing without the two numbers of items
    equivalence: EquivalenceTest  # of mean log truth ratios, in nats


class Exposure(BaseModel):
    """How far the digits of completions stand out from other digits, in bits; luck gives about 1.44 on average."""

    model_config = _FROZEN
    mean: float
    p_value: float  # of a mean as large by luck
    n: int  # items with enough digits
    num_candidates: int


class ExposureChange(BaseModel):
    """The exposure before and after. It cannot say more bits than the candidates that were tried are worth."""

    model_config = _FROZEN
    before: Exposure
    after: Exposure
    reference: Exposure | None = None


class ForgetThreshold(BaseModel):
    """Forgotten means: the metric after is at most this."""

    model_config = _FROZEN
    metric: str
    at_most: float
    item_at_most: float
    holdout_mean: float | None = None
    holdout_ci95: tuple[float, float] | None = None


class RetainThreshold(BaseModel):
    """Kept means: the metric after is at least this share of the metric before."""

    model_config = _FROZEN
    metric: str
    at_least_ratio: float


class PerplexityThreshold(BaseModel):
    """Intact means: the perplexity after is at most so many times that before."""

    model_config = _FROZEN
    set_name: Literal["retain", "holdout"]
    at_most_ratio: float


class Thresholds(BaseModel):
    """The gates that were applied and where they come from."""

    model_config = _FROZEN
    policy: str
    source: Literal["holdout", "policy"]
    forget: list[ForgetThreshold]
    retain: list[RetainThreshold]
    perplexity: list[PerplexityThreshold] = []  # of every policy, on texts that were not to be forgotten
    holdout_refused: dict[str, str] = {}  # metric -> why its gate is the policy's although there is a holdout set
    chance_over: float | None = None  # share of unseen items over any limit of an item; None: no holdout set tells


class TrajectoryPoint(BaseModel):
    """What training saw at one step."""

    model_config = _FROZEN
    step: int
    forget_loss: float | None  # None: the forget set was under its thresholds, so this step only repaired
    retain_loss: float | None  # None: the method has none
    forget_metrics: dict[str, float] | None = None  # only at the steps that asked whether to stop


class TrainingSummary(BaseModel):
    """How the run went."""

    model_config = _FROZEN
    steps: int
    planned_steps: int
    delivered_step: int  # the step whose adapter is delivered: the best that passed a stop check, else the last
    stopped_early: bool
    resumed_from_step: int | None
    trajectory: list[TrajectoryPoint]


class BaseModelSummary(BaseModel):
    """Which base model the adapter belongs to."""

    model_config = _FROZEN
    id: str
    source: str
    revision: str | None
    weights_sha256: str
    architecture: str
    num_parameters: int
    text_format: TextFormat


class FisherSummary(BaseModel):
    """What the initializer was told. ``epsilon_share`` is the part of the denominator that epsilon explains."""

    model_config = _FROZEN
    mode: str
    retain_items: int
    retain_from_cache: bool
    epsilon_share: float


class EditedLayerSummary(BaseModel):
    """What was added to one weight, as delivered."""

    model_config = _FROZEN
    layer: int
    module: str
    relative_norm: float  # of what was added, over that of the weight (Frobenius)
    disturbance: float  # root mean square of what it adds on retain texts, over that of what the weight makes of them
    truncation_error: float  # share of the effect on the facts that did not fit the adapter's rank


class EditSummary(BaseModel):
    """How weights were edited, by a method that solves for an edit instead of training."""

    model_config = _FROZEN
    facts: int
    scale: float  # of the solved edit that is delivered: the least that was found to forget, 1 where nothing less did
    moment_tokens: int  # retain tokens behind the second moments
    moments_from_cache: bool
    layers: list[EditedLayerSummary]


class AttackPoint(BaseModel):
    """How far an attack had come at one point of its course: the means over ``n`` items."""

    model_config = _FROZEN
    x: float
    means: dict[str, float]
    n: int


class AttackOutcome(BaseModel):
    """What an attack got out of one model: of each item the worst of all attempts, which is the largest value."""

    model_config = _FROZEN
    items: dict[str, dict[str, float]]  # item id -> metric -> value; each item has every metric
    means: dict[str, float]  # over those items
    n: int
    attempts: int = 1  # at an item, where they are alike: the most at any, of which each may be over a limit by chance
    missing: dict[str, str] = {}  # item id -> why it has no value
    curve: list[AttackPoint] = []  # only of attacks that have a course


class QuantisedLayerSummary(BaseModel):
    """How large the change of a layer's weights is, in steps of the 4-bit grid that they would be rounded to."""

    model_config = _FROZEN
    module: str
    max_change: float
    median_change: float


class AttackResult(BaseModel):
    """One attack on the unlearned model. Holds ids and numbers, never texts."""

    model_config = _FROZEN
    name: str
    variant: str  # which of the ways in which the attack was made
    budget: dict[str, int | float] = {}  # what was spent
    attacked: AttackOutcome | None = None  # None: it could not be made, and ``absent`` says why
    unattacked: AttackOutcome | None = None  # the same places of the same items without the attack
    reference: AttackOutcome | None = None  # the same attack on a model that never saw the items
    control: AttackOutcome | None = None  # the same attack for other items, which the model never saw
    summary: dict[str, float] = {}
    missing: dict[str, str] = {}  # part or number of the summary -> why it is not there
    layers: list[QuantisedLayerSummary] = []  # only of quantisation
    absent: str | None = None
    at_most: dict[str, float] = {}  # metric -> limit for the mean, of the policy or of the forget set if that is higher


class EvaluationReport(BaseModel):
    """What was measured, with everything needed to measure it again. Holds ids, never texts."""

    model_config = _FROZEN
    format: Literal["lethe.report/1"] = "lethe.report/1"
    job_id: str
    created_at: AwareDatetime
    verdict: Verdict
    verdict_reasons: list[str] = []  # the gates that failed, in words; empty when it is forgotten
    base_model: BaseModelSummary
    method: MethodOptions
    thresholds: Thresholds
    forget: SetResult
    retain: SetResult
    holdout: SetResult | None
    training: TrainingSummary | None  # None: nothing was trained, since no action was needed
    fisher: FisherSummary | None
    edit: EditSummary | None = None  # only of methods that edit instead of training
    membership: MembershipResult | None = None
    over_unlearned: OverUnlearned | None = None  # a finding, on which no verdict rests
    truth_ratio: MetricChange | None = None  # mean of min(R, 1/R) over forget items: 1 where nothing is preferred
    forget_quality: ForgetQuality | None = None  # against the reference model
    exposure: ExposureChange | None = None  # of forget items whose completions hold digits
    attacks: list[AttackResult] = []
    not_measured: dict[str, str] = {}  # what the policy left out or this job could not have -> why
    excluded_retain_items: int  # registered retain items that this request asks to forget
    excluded_holdout_items: int  # holdout items that are in the forget or the retain set too
    duplicate_retain_items: int
    retain_rows_unseen: bool  # the retain section was measured on rows that training did not see
    adapter_rank: int | None  # None: there is no adapter, since no action was needed
    target_modules: list[str]
    seeds: dict[str, int]
    versions: dict[str, str]
    device: str
    dtype: str
    timings_seconds: dict[str, float]
    does_not_establish: list[str]
