import inspect

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.modeling.scoring import backbone_hidden

_LENGTHS = (7, 5, 3)  # of the rows that the proof is made on
# What is left of the difference that reading the rows as one text makes. Lower precision rounds differently in lines of
# another width; a model that keeps rows apart in part only is far above either.
_FULL_PRECISION, _LOWER_PRECISION = 1e-3, 0.1


@torch.no_grad()
def can_pack(model: PreTrainedModel) -> bool:
    """Return whether the model reads several rows in one line as it reads each alone, given their position ids.

    Attention must end at the start of a row and positions must count from there. An architecture that ignores position
    ids, or that carries a state along the line, does not. It is tried, on rows of a few tokens.
    """
    if "position_ids" not in inspect.signature(getattr(model, model.base_model_prefix).forward).parameters:
        return False
    rows = torch.arange(sum(_LENGTHS), device=model.device) % model.config.vocab_size
    packed = torch.cat([torch.arange(length) for length in _LENGTHS]).to(model.device)
    line = rows.unsqueeze(0)
    alone = torch.cat([_hidden(model, row.unsqueeze(0)) for row in rows.split(_LENGTHS)])
    together, apart = _hidden(model, line), _hidden(model, line, packed.unsqueeze(0))
    tolerance = _FULL_PRECISION if model.dtype == torch.float32 else _LOWER_PRECISION
    # Not below: a model in which rows of a line do not touch each other anyway differs in neither.
    return float((apart - alone).norm()) <= tolerance * float((together - alone).norm())


def attention_width(model: PreTrainedModel) -> int:
    """Return about how many tokens in a line make attention cost as much as the rest of a layer.

    For a token in a line of ``T``, attention multiplies ``2 T D`` numbers and the linear maps of a usual layer
    ``12 D^2``, with ``D`` the hidden size.
    """
    size: int = model.config.get_text_config().hidden_size
    return 6 * size


def _hidden(model: PreTrainedModel, line: Tensor, position_ids: Tensor | None = None) -> Tensor:
    """Return the last hidden states of a line, (T, D) float32."""
    return backbone_hidden(model, line, torch.ones_like(line), position_ids)[0].float()
