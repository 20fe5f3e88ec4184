import dataclasses
from collections.abc import Callable

from core.data.corpus import Example
from core.domain.options import TrainedOptions
from core.domain.report import FisherSummary
from core.modeling.adapter import Adapter, Linear, attach
from core.modeling.base_model import BaseModel
from core.ports import JobMonitor
from core.unlearning.checkpoint import TrainingState
from core.unlearning.initialize import RetainStatistics, initial_pairs, plain_pairs


def start_adapter(
    base: BaseModel, layers: dict[str, Linear], forget: list[Example], about: RetainStatistics, options: TrainedOptions
) -> tuple[Adapter, FisherSummary | None]:
    """Attach a fresh adapter, initialised as the options say."""
    pairs = initial_pairs(base, layers, forget, about, options)
    return attach(base.model, pairs.by_layer, scaling=options.lora_alpha / options.r), pairs.fisher


def resume_adapter(
    base: BaseModel, layers: dict[str, Linear], state: TrainingState, options: TrainedOptions
) -> tuple[Adapter, FisherSummary | None]:
    """Attach the adapter of an earlier attempt; its anchors are in the checkpoint, so nothing is initialised anew."""
    adapter = attach(base.model, plain_pairs(layers, options), scaling=options.lora_alpha / options.r)
    adapter.load(state.adapter)
    return adapter, FisherSummary.model_validate_json(state.notes) if state.notes else None


def saver(monitor: JobMonitor, fisher: FisherSummary | None) -> Callable[[TrainingState], None]:
    """Return the hook that stores a checkpoint, with what the report will need to know about its start."""
    notes = fisher.model_dump_json() if fisher else ""

    def save(state: TrainingState) -> None:
        monitor.save_checkpoint(dataclasses.replace(state, notes=notes).dump())

    return save
