from dataclasses import dataclass

from core.domain.errors import LeaseLostError
from core.domain.job import Stage


@dataclass(frozen=True)
class Entered:
    """A call of ``enter``."""

    stage: Stage
    total_steps: int


class FakeJobMonitor:
    """Keeps all it is told, each kind in its own list. Once ``lease_lost``, every call raises as the port says."""

    def __init__(self, checkpoint: bytes | None = None) -> None:
        self.entered: list[Entered] = []
        self.steps: list[int] = []
        self.by_stage: list[tuple[Entered, list[int]]] = []
        self.measured: list[tuple[str, dict[str, float]]] = []
        self.checkpoints: list[bytes] = [] if checkpoint is None else [checkpoint]
        self.lease_lost = False

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        self._require_lease()
        self.entered.append(Entered(stage, total_steps))
        self.by_stage.append((self.entered[-1], []))

    def advance(self, step: int) -> None:
        self._require_lease()
        self.steps.append(step)
        if self.by_stage:
            self.by_stage[-1][1].append(step)

    def metrics(self, message: str, data: dict[str, float]) -> None:
        self._require_lease()
        self.measured.append((message, dict(data)))

    def save_checkpoint(self, payload: bytes) -> None:
        self._require_lease()
        self.checkpoints.append(payload)

    def load_checkpoint(self) -> bytes | None:
        self._require_lease()
        return self.checkpoints[-1] if self.checkpoints else None

    def _require_lease(self) -> None:
        if self.lease_lost:
            raise LeaseLostError("the attempt is over")
