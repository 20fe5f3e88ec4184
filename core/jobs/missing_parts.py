from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import LawOptions, MethodOptions, RmuOptions
from core.domain.errors import LayerOutOfRangeError, UnknownModuleError
from core.domain.options import TrainedOptions


def refuse_missing_parts(method: MethodOptions, base_model: RegisteredBaseModel) -> None:
    """Refuse options that name a module or a decoder layer which the base model does not have.

    What is not known of a base model, as it was registered before it was asked for, is left to the worker.

    Raises:
        UnknownModuleError: ``target_modules`` names what is no linear layer.
        LayerOutOfRangeError: there is no such decoder layer, or the method cannot work on it.
    """
    if isinstance(method, TrainedOptions) and method.target_modules != "all-linear" and base_model.linear_names:
        _refuse_unknown_modules(method.target_modules, base_model)
    if base_model.num_layers is None:
        return
    if isinstance(method, RmuOptions) and method.layer is not None:
        _refuse_layer_beyond(method.layer, base_model.num_layers)
    if isinstance(method, LawOptions) and method.layers is not None:
        _refuse_unread_layers(method.layers, base_model.num_layers)


def _refuse_unknown_modules(target_modules: list[str], base_model: RegisteredBaseModel) -> None:
    known = base_model.module_names
    for place, target in enumerate(target_modules):
        if target not in known:
            last = sorted({name.rpartition(".")[2] for name in base_model.linear_names})
            raise UnknownModuleError(
                f"selects no linear layer of this base model; there are: {', '.join(last)}",
                param=f"/method/target_modules/{place}",
            )


def _refuse_layer_beyond(layer: int, depth: int) -> None:
    if layer >= depth:
        raise LayerOutOfRangeError(f"this base model has decoder layers 0 to {depth - 1}", param="/method/layer")


def _refuse_unread_layers(layers: list[int], depth: int) -> None:
    """Refuse layers behind which no other could read what an edit writes at a subject."""
    for place, layer in enumerate(layers):
        if layer > depth - 2:
            raise LayerOutOfRangeError(
                f"this base model has decoder layers 0 to {depth - 1}, of which all but the last can be edited: an "
                "edit is read by the attention of a later layer",
                param=f"/method/layers/{place}",
            )
