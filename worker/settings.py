import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Cancelling must not wait for the next third of a long lease, so the heartbeat has an upper bound of its own.
MAX_HEARTBEAT_SECONDS = 2.0


class WorkerSettings(BaseSettings):
    """How the worker, its runner and the sweeper are deployed. Read once, in a composition root."""

    model_config = SettingsConfigDict(env_prefix="LETHE_", frozen=True, extra="ignore", hide_input_in_errors=True)
    database_url: SecretStr
    broker_url: SecretStr
    store_url: str
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None

    lease_seconds: float = Field(default=30.0, ge=1)
    max_attempts: int = Field(default=3, ge=1)
    cancel_grace_seconds: float = Field(default=5.0, ge=0, description="Between SIGTERM and SIGKILL.")
    stalled_after_seconds: float = Field(
        default=20.0, gt=0, description="An idle worker ends itself when messages wait for this long."
    )
    sweep_interval_seconds: float = Field(default=5.0, gt=0)
    lost_after_seconds: float = Field(default=20.0, gt=0)

    checkpoint_seconds: float = Field(default=15.0, ge=0, description="Pause between two checkpoints of a run.")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1, description="Of this machine, over which a runner spreads its base model.")
    device_memory_bytes: int | None = Field(
        default=None, ge=1, description="That jobs may fill on each; absent: all of it."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Training keeps less in memory and passes the model forward once more."
    )
    torch_threads: int | None = Field(default=None, ge=1)
    work_dir: Path = Path(tempfile.gettempdir()) / "lethe-work"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    runner_max_jobs: int = Field(
        default=50, ge=1, description="A runner serves so many jobs of one tenant on one base model; 1: a new one each."
    )
    runner_idle_seconds: float = Field(default=600.0, gt=0, description="How long a runner waits for its next job.")
    runner_command: tuple[str, ...] = (sys.executable, "-m", "worker.runner")

    @model_validator(mode="after")
    def _grace_fits_lease(self) -> Self:
        # No heartbeat goes out while a run is being stopped, so the stop must be over before the lease is.
        if self.cancel_grace_seconds > self.lease_seconds / 2:
            raise ValueError("LETHE_CANCEL_GRACE_SECONDS must be at most half of LETHE_LEASE_SECONDS")
        return self

    @property
    def lease(self) -> timedelta:
        """How long a job stays ours without a heartbeat."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def heartbeat_seconds(self) -> float:
        """The pause between two renewals."""
        return min(self.lease_seconds / 3, MAX_HEARTBEAT_SECONDS)
