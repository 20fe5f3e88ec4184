from collections.abc import Callable, Sequence

import torch

from core.data.corpus import Example
from core.domain.options import TrainedOptions
from core.modeling.adapter import Adapter, Linear, attach, target_linears
from core.modeling.base_model import BaseModel
from core.unlearning.features import output_features
from core.unlearning.initialize import RetainStatistics, initial_pairs, measure_retain_fisher
from tests.fakes.tiny_models import VOCAB, byte_tokenizer, tiny_model


def base_model(architecture: str = "gpt_neo") -> BaseModel:
    """A tiny base model; each call gives the same weights again."""
    return BaseModel(model=tiny_model(architecture), tokenizer=byte_tokenizer(), path=None)


def altered(forward: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]) -> tuple[BaseModel, dict[str, Linear]]:
    """A base model whose first ``up_proj`` is called in another way, and that layer."""
    base = base_model("llama_tied")
    mlp = base.model.model.layers[0].mlp
    mlp.forward = lambda x: forward(mlp, x)
    return base, {"model.layers.0.mlp.up_proj": mlp.up_proj}


def rows(count: int, *, seed: int, prompt: int = 3) -> list[Example]:
    """Rows of unlike lengths, all with a prompt of this many tokens and one trailing token."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Example(
            id=str(place),
            tokens=tuple(torch.randint(VOCAB, (prompt + 3 + place * 5 % 7,), generator=generator).tolist()),
            first_label=prompt,
            num_trailing=1,
        )
        for place in range(count)
    ]


def statistics(
    base: BaseModel, layers: dict[str, Linear], retain: Sequence[Example], options: TrainedOptions
) -> RetainStatistics:
    """What the chosen initializer needs of a retain set."""
    match options.initializer:
        case "fila" | "kronecker_fila":
            return RetainStatistics(fisher=measure_retain_fisher(base, layers, retain, options))
        case "rila":
            return RetainStatistics(features=output_features(base, layers, retain))
    return RetainStatistics()


def adapted(
    base: BaseModel,
    options: TrainedOptions,
    *,
    forget: Sequence[Example],
    retain: Sequence[Example],
    moved: float = 0.0,
) -> Adapter:
    """Attach the adapter that the options ask for; moved by noise, it is one that has been trained."""
    layers = target_linears(base.model, options.target_modules)
    about = statistics(base, layers, retain, options)
    pairs = initial_pairs(base, layers, forget, about, options)
    adapter = attach(base.model, pairs.by_layer, scaling=options.lora_alpha / options.r)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(moved * torch.randn(parameter.shape, generator=generator))
    return adapter
