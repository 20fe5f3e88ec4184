from typing import Self, get_args

from pydantic import ConfigDict, Field

from api.schemas.page import Identified
from core.domain.policy import DEFAULT_POLICY, Gate, PlannedAttack, Policy, PolicyName, current
from core.domain.report import RetainThreshold

_CURRENT = {current(name).name for name in get_args(PolicyName)}


class PolicyBody(Identified):
    """One version of a policy: what is measured, which attacks are made, and what they must show."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(description="What `policy` of a deletion request may be.")
    version: int
    is_current: bool = Field(description="Whether a request that names this policy gets this version.")
    is_default: bool = Field(description="Whether it is what a request without `policy` gets.")
    summary: str
    needs_holdout: bool = Field(description="Whether the base model must be registered with a holdout set.")
    membership: bool = Field(description="Whether it is measured how well the texts can be told from unseen ones.")
    exposure: bool = Field(description="Whether the exposure of the texts is measured.")
    metrics: list[str]
    forget: list[Gate] = Field(
        description="Limits of the mean over the forget set and of a single item; a holdout set lowers them, or raises "
        "`at_most` up to `holdout_at_most`."
    )
    retain: list[RetainThreshold] = Field(description="Least share of each metric's value before that must be left.")
    attacks: list[PlannedAttack] = Field(
        description="Attacks with what they may spend beside their defaults, and what they may at most get out of the "
        "model; one without `at_most` is shown and decides nothing."
    )
    attack_share: float | None = Field(
        description="The most that attacks may cost as a share of the training: beyond it, those without limits are "
        "left out, and the report says so. null: no bound."
    )

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """Return the version of the policy as its file says."""
        name = policy.name.rpartition("-")[0]
        is_current = policy.name in _CURRENT
        return cls(
            id=policy.name,
            name=name,
            version=policy.version,
            is_current=is_current,
            is_default=is_current and name == DEFAULT_POLICY,
            summary=" ".join(policy.summary.split()),
            needs_holdout=policy.needs_holdout,
            membership=policy.membership,
            exposure=policy.exposure,
            metrics=list(policy.metrics),
            forget=list(policy.forget),
            retain=list(policy.retain),
            attacks=list(policy.attacks),
            attack_share=policy.attack_share,
        )
