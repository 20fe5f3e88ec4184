"""What is measured and what it must show, as files that officers can read: ``core/domain/policies/NAME-VERSION.toml``.

A report names the file that it was judged by. A file is never changed once it has been released: a new version gets a
file of its own, so no later change can rewrite an old verdict.
"""

import tomllib
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.domain.report import RetainThreshold

PolicyName = Literal["fast", "standard", "strict"]
Knob = int | float | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Gate(BaseModel):
    """A forget metric's limits for the mean over the set and for a single item."""

    model_config = _FROZEN
    metric: str
    at_most: float
    item_at_most: float
    holdout_at_most: float  # what a holdout set may raise at_most to


class PlannedAttack(BaseModel):
    """An attack that is made, with what it may spend, and what it may at most get out of the model.

    Without limits its outcome is shown and decides nothing.
    """

    model_config = _FROZEN
    name: str
    budget: dict[str, Knob] = {}  # what differs from the attack's own defaults
    at_most: dict[str, float] = {}  # metric -> limit of the mean over items, in each variant of the attack

    @property
    def label(self) -> str:
        """The name, with the variants where the policy names them: another entry may make the others."""
        variants = self.budget.get("variants")
        return f"{self.name} ({', '.join(map(str, variants))})" if isinstance(variants, tuple) else self.name


class Policy(BaseModel):
    """Named, versioned: what is measured, which attacks are made, and the limits of a verdict."""

    model_config = _FROZEN
    name: str
    summary: str
    needs_holdout: bool = False
    membership: bool
    exposure: bool = False
    metrics: tuple[str, ...] = Field(min_length=1)
    forget: tuple[Gate, ...] = Field(min_length=1)
    retain: tuple[RetainThreshold, ...] = Field(min_length=1)
    attacks: tuple[PlannedAttack, ...] = ()
    # What all attacks together may cost, as a share of the tokens of the training. Those with limits are made anyway.
    attack_share: float | None = Field(default=None, gt=0)  # None: no bound

    @property
    def version(self) -> int:
        """The number at the end of the name."""
        return int(self.name.rpartition("-")[2])


def _read() -> dict[str, Policy]:
    found = [path for path in (files("core.domain") / "policies").iterdir() if path.name.endswith(".toml")]
    policies = [
        Policy(name=path.name.removesuffix(".toml"), **tomllib.loads(path.read_text(encoding="utf-8")))
        for path in found
    ]
    return {policy.name: policy for policy in sorted(policies, key=lambda policy: policy.name)}


POLICIES: dict[str, Policy] = _read()
DEFAULT_POLICY: PolicyName = "standard"


def current(name: PolicyName) -> Policy:
    """Return the newest version of a policy."""
    versions = [policy for policy in POLICIES.values() if policy.name.rpartition("-")[0] == name]
    return max(versions, key=lambda policy: policy.version)
