from pydantic import BaseModel, ConfigDict

from core.domain.report import RetainThreshold


class Gate(BaseModel):
    """A forget metric's limits for the mean over the set and for a single item."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    metric: str
    at_most: float
    item_at_most: float
    holdout_at_most: float  # what a holdout set may raise at_most to


class Policy(BaseModel):
    """Named, versioned thresholds. A report names the policy, so a later change cannot rewrite an old verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    forget: tuple[Gate, ...]
    retain: tuple[RetainThreshold, ...]


STANDARD = Policy(
    name="standard-1",
    forget=(
        Gate(metric="extraction_strength", at_most=0.08, item_at_most=0.30, holdout_at_most=0.10),
        # Not memorization accuracy: that counts the end of sequence too, which is kept, so that a one-word answer
        # would never get below one half.
        Gate(metric="exact_memorization", at_most=0.60, item_at_most=0.80, holdout_at_most=0.80),
    ),
    retain=(RetainThreshold(metric="memorization_accuracy", at_least_ratio=0.95),),
)

POLICIES: dict[str, Policy] = {STANDARD.name: STANDARD}
DEFAULT_POLICY = STANDARD.name
