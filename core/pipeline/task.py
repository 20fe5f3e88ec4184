from dataclasses import dataclass
from pathlib import Path

from core.domain.base_model import RegisteredBaseModel
from core.domain.item_set import ItemSet
from core.domain.report import EvaluationReport
from core.domain.request import ItemDisposition
from core.domain.spec import JobSpec
from core.modeling.base_model import DeviceChoice


@dataclass(frozen=True)
class RunTask:
    """Everything one run needs; nothing of it is read from anywhere else."""

    job_id: str
    spec: JobSpec
    base_model: RegisteredBaseModel
    forget: ItemSet
    retain: ItemSet | None  # None: the base model writes its own
    holdout: ItemSet | None
    device: DeviceChoice
    work_dir: Path  # an empty directory for the package; it stays on this machine
    general: ItemSet | None = None
    gradient_checkpointing: bool = False  # a step keeps less and passes forward once more


@dataclass(frozen=True)
class RunOutcome:
    """What one run delivers."""

    adapter_zip: Path | None  # None: no action was needed
    report: EvaluationReport
    report_html: str
    dispositions: tuple[ItemDisposition, ...]
