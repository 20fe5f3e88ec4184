from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from core.modeling.base_model import BaseModel, load_base_model, locate
from core.modeling.sharding import is_sharded
from core.pipeline.measure import Measure, Measurement
from core.pipeline.task import RunTask


@dataclass(frozen=True)
class Reference:
    """The registered model that never saw the forget set, and what it makes of the sets."""

    base: BaseModel  # on the CPU but while it is measured or attacked
    measured: Measurement


def measured_reference(task: RunTask, base: BaseModel, measure: Measure) -> Reference | None:
    """Return the base model's reference model, None where none is registered.

    It is measured on the same device and then moved to the CPU: training needs the room.

    Raises:
        BaseModelChangedError: its weights are not the registered ones.
    """
    registered = task.base_model.reference
    if registered is None:
        return None
    path = locate(registered.source, registered.revision)
    sharded = is_sharded(base.model)
    model = load_base_model(path, device=base.device, expected_sha256=registered.weights_sha256, sharded=sharded)
    measured = measure(model)
    if not sharded:  # a part of it, on each of several devices, stays
        model.model.to(torch.device("cpu"))
    return Reference(model, measured)


def brought(reference: Reference | None, device: torch.device) -> PreTrainedModel | None:
    """Return the reference model on a device; None where there is none, or too little memory for it."""
    if reference is None:
        return None
    model = reference.base.model
    if is_sharded(model):
        return model
    try:
        model.to(device)
    except torch.OutOfMemoryError:
        model.to(torch.device("cpu"))  # some of its weights may have arrived
        return None
    return model
