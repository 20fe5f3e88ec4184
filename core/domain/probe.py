"""What a probe found out, as data. The light half serves it; the heavy half fills it."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProbedItem(BaseModel):
    """One item by its id, never by its text: its metrics, and the reason for each that it cannot have."""

    model_config = _FROZEN
    id: str
    memorised: bool | None  # None: a metric that has a limit is absent, and none of the others is over its own
    metrics: dict[str, float]
    absent: dict[str, str] = {}


class ProbeLimit(BaseModel):
    """An item is memorised if its metric is over ``at_most``."""

    model_config = _FROZEN
    metric: str
    at_most: float
    source: Literal["holdout", "policy"]
    holdout_mean: float | None = None
    holdout_ci95: tuple[float, float] | None = None


class ProbeThresholds(BaseModel):
    """The limits that were applied and where they come from: the holdout set under the base model, or the policy."""

    model_config = _FROZEN
    policy: str
    source: Literal["holdout", "policy"]
    limits: list[ProbeLimit]
    num_holdout_items: int  # that were measured; 0 where there is no holdout set
    excluded_holdout_items: int  # that are among the probed ones
    holdout_refused: dict[str, str] = {}  # metric -> why its limit is the policy's although there is a holdout set
    chance_over: float | None = None  # share of unseen items over any of the limits; None: no holdout set tells


class ProbeTotals(BaseModel):
    """How many items there are of each kind."""

    model_config = _FROZEN
    num_items: int
    memorised: int
    not_memorised: int
    undecided: int
    by_chance: int | None  # up to so many may be over the limits though never seen; None: no holdout set tells


class ProbeResult(BaseModel):
    """What was measured. Holds ids and numbers, never texts."""

    model_config = _FROZEN
    format: Literal["lethe.probe/1"] = "lethe.probe/1"
    probe_id: str
    created_at: AwareDatetime
    base_model: str
    weights_sha256: str
    job_id: str | None  # whose adapter was on the base model
    adapter_sha256: str | None
    items: list[ProbedItem]
    totals: ProbeTotals
    thresholds: ProbeThresholds
    caveats: list[str]  # what the result cannot tell, in words
    device: str
    dtype: str
    timings_seconds: dict[str, float]
