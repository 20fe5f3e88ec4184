from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid")


DeviceKind = Literal["cpu", "cuda"]


class Device(BaseModel):
    """What a worker computes on. Devices of one name are alike: what was measured on one counts for all of them."""

    model_config = _FROZEN
    kind: DeviceKind
    name: str = Field(min_length=1)
    memory_bytes: int = Field(ge=1)  # that jobs may fill


class LiveWorker(BaseModel):
    """A worker that has been heard of."""

    model_config = _FROZEN
    owner: str  # as in the leases of its jobs
    device: Device | None  # None: it has run no job yet, and only what runs a job knows
    seen_at: AwareDatetime
