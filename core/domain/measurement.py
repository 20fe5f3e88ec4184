from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.domain.device import Device
from core.domain.workload import Workload


class Measurement(BaseModel):
    """What one job took, from the worker's claim to its package. Holds numbers and names no job and no tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    weights_sha256: str
    device: Device
    workload: Workload  # as it was known at submission
    steps: int | None = Field(ge=0)  # that training took; None: the method has none
    reused_statistics: bool  # whether the stage ``fisher`` found its statistics there
    start_seconds: float = Field(ge=0)  # beside the stages: mostly the start of a runner, none for one that stayed
    seconds: dict[str, float]  # by stage
    peak_memory_bytes: int | None = Field(ge=1)  # None: this machine does not tell
    measured_at: AwareDatetime
