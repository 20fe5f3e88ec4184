from collections.abc import Callable

from core.domain.catalog import MethodOptions
from core.domain.errors import OptionWithoutEffectError
from core.domain.options import TrainedOptions


def refuse_idle_options(method: MethodOptions) -> None:
    """Refuse an option that the rest of the method leaves without effect: who sets it expects one.

    An option at its default is nobody's wish, so a method that was read from a job can be sent again as it is.

    Raises:
        OptionWithoutEffectError: names the option and what it would go with.
    """
    if not isinstance(method, TrainedOptions):
        return
    for name, (has_effect, remedy) in _CARRIERS.items():
        if getattr(method, name) != type(method).model_fields[name].default and not has_effect(method):
            raise OptionWithoutEffectError(f"without effect here: {remedy}, or leave it out", param=f"/method/{name}")


def _has_retain_loss(method: TrainedOptions) -> bool:
    return method.retain_loss != "none"


def _reads_fisher(method: TrainedOptions) -> bool:
    return method.initializer in ("fila", "kronecker_fila")


def _reads_outputs(method: TrainedOptions) -> bool:
    return method.initializer == "rila" or method.rol_weight > 0


def _reads_retain_texts(method: TrainedOptions) -> bool:
    return _has_retain_loss(method) or _reads_fisher(method) or _reads_outputs(method)


_CARRIERS: dict[str, tuple[Callable[[TrainedOptions], bool], str]] = {
    "num_epochs": (lambda method: method.max_steps is None, "it is overridden by max_steps"),
    "min_steps": (lambda method: method.max_steps is None, "it is overridden by max_steps"),
    "retain_weight": (_has_retain_loss, "choose a retain_loss with it"),
    "retain_corpus": (_reads_retain_texts, "choose a retain_loss or an initializer that reads retain texts with it"),
    "retain_bound": (_has_retain_loss, "choose a retain_loss with it"),
    "dual_step": (lambda method: method.retain_bound is not None, "set retain_bound with it"),
    "fisher_epsilon": (_reads_fisher, "choose initializer fila or kronecker_fila with it"),
    "fisher_retain_items": (_reads_fisher, "choose initializer fila or kronecker_fila with it"),
    "rila_beta": (lambda method: method.initializer == "rila", "choose initializer rila with it"),
    "rila_items": (_reads_outputs, "choose initializer rila or set rol_weight with it"),
    "rol_directions": (lambda method: method.rol_weight > 0, "set rol_weight with it"),
}
