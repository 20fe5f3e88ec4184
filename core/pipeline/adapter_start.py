import dataclasses
from collections.abc import Callable

from core.data.corpus import Example
from core.domain.catalog import LokuOptions
from core.domain.report import FisherSummary
from core.modeling.adapter import Adapter, Linear
from core.modeling.base_model import BaseModel
from core.ports import JobMonitor
from core.unlearning.checkpoint import TrainingState
from core.unlearning.initialize import RetainFisher, attach_fila, attach_lora, importance_of_rows


def start_adapter(
    base: BaseModel,
    layers: dict[str, Linear],
    forget: list[Example],
    retain_fisher: RetainFisher | None,
    options: LokuOptions,
) -> tuple[Adapter, FisherSummary | None]:
    """Attach a fresh adapter: by FILA when there is Fisher information, else plain LoRA."""
    if retain_fisher is None:
        return attach_lora(base, layers, options), None
    importance, summary = importance_of_rows(base, layers, forget, retain_fisher, options)
    return attach_fila(base, layers, importance, options), summary


def resume_adapter(
    base: BaseModel, layers: dict[str, Linear], state: TrainingState, options: LokuOptions
) -> tuple[Adapter, FisherSummary | None]:
    """Attach the adapter of an earlier attempt; its anchors are in the checkpoint, so no Fisher pass is repeated."""
    adapter = attach_lora(base, layers, options)
    adapter.load(state.adapter)
    return adapter, FisherSummary.model_validate_json(state.notes) if state.notes else None


def saver(monitor: JobMonitor, fisher: FisherSummary | None) -> Callable[[TrainingState], None]:
    """Return the hook that stores a checkpoint, with what the report will need to know about its start."""
    notes = fisher.model_dump_json() if fisher else ""

    def save(state: TrainingState) -> None:
        monitor.save_checkpoint(dataclasses.replace(state, notes=notes).dump())

    return save
