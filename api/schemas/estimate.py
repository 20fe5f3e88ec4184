from typing import Self

from pydantic import ConfigDict
from pydantic.config import JsonDict

from core.domain.estimate import Estimate

_EXAMPLE: JsonDict = {
    "duration_seconds": {"low": 32.0, "likely": 35.4, "high": 42.8},
    "start_seconds": {"low": 0.3, "likely": 0.4, "high": 6.1},
    "peak_memory_bytes": {"low": 310000000, "likely": 420000000, "high": 460000000},
    "device_memory_bytes": 8589934592,
    "queue_wait_seconds": 0.0,
    "steps": 120,
    "stages": {
        "prepare": 0.9,
        "baseline": 3.2,
        "fisher": 0.1,
        "initialize": 1.2,
        "train": 17.4,
        "evaluate": 3.5,
        "attack": 7.8,
        "package": 1.3,
    },
    "based_on": {
        "measurements": 12,
        "device": "a CPU, 2 threads",
        "same_base_model": True,
        "same_method_and_policy": True,
    },
    "absent": {},
}


class EstimateBody(Estimate):
    """What a job would take, by what jobs like it took here. What is not known is null, and `absent` says why."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Return the estimate as it is."""
        return cls(**dict(estimate))
