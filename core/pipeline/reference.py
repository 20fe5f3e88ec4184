from dataclasses import dataclass

from core.modeling.base_model import BaseModel, load_base_model, locate
from core.pipeline.measure import Measure, Measurement
from core.pipeline.task import RunTask


@dataclass(frozen=True)
class Reference:
    """The registered model that never saw the forget set, and what it makes of the sets."""

    base: BaseModel
    measured: Measurement


def measured_reference(task: RunTask, base: BaseModel, measure: Measure) -> Reference | None:
    """Return the base model's reference model on the same device, None where none is registered.

    Raises:
        BaseModelChangedError: its weights are not the registered ones.
    """
    registered = task.base_model.reference
    if registered is None:
        return None
    path = locate(registered.source, registered.revision)
    model = load_base_model(path, device=base.device, expected_sha256=registered.weights_sha256)
    return Reference(model, measure(model))
