"""What a job would take, as far as measurements tell. The API serves it as it is."""

from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SecondsRange(BaseModel):
    """A duration. With nine measurements one job in ten takes less than ``low``, and one more than ``high``."""

    model_config = _FROZEN
    low: float | None = Field(ge=0, description="null: a single measurement shows no spread.")
    likely: float = Field(ge=0)
    high: float | None = Field(ge=0)


class BytesRange(BaseModel):
    """Memory of a device, at its peak."""

    model_config = _FROZEN
    low: int = Field(ge=0, description="What surely is needed. A worker with less memory is never given the job.")
    likely: int | None = Field(ge=0, description="null until a job has been measured.")
    high: int | None = Field(ge=0)


class Basis(BaseModel):
    """What an estimate was made from."""

    model_config = _FROZEN
    measurements: int = Field(ge=1, description="How many finished jobs, the newest of those that are most alike.")
    device: str = Field(description="Where they ran: as what is at work now, the slowest of it if there are several.")
    same_base_model: bool = Field(description="Whether they ran on this base model; else it is scaled by parameters.")
    same_method_and_policy: bool


class Estimate(BaseModel):
    """What a job would take. What is not known is null, and ``absent`` says why."""

    model_config = _FROZEN
    duration_seconds: SecondsRange | None = Field(description="Of all stages, from the first one to the package.")
    start_seconds: SecondsRange | None = Field(
        description="Beside them: a runner starts in seconds, and one that stayed from the job before is there already."
    )
    peak_memory_bytes: BytesRange | None
    device_memory_bytes: int | None = Field(description="Of the largest worker that is known to be alive.")
    queue_wait_seconds: float | None = Field(ge=0, description="Until a worker would take the job, likely.")
    steps: int | None = Field(description="Of the schedule, which training may end earlier; null without training.")
    stages: dict[str, float] = Field(description="Likely seconds of each stage.")
    based_on: Basis | None
    absent: dict[str, str] = Field(description="Name of a field -> why it is null.")
