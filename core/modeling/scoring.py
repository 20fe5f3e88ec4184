from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.data.collate import Batch
from core.domain.errors import UnsupportedBaseModelError


@dataclass(frozen=True)
class TokenScores:
    """Predictions at the scored places of a batch and nowhere else: no prompt, no padding, nothing to shift."""

    logits: Tensor  # (N, V), the model's dtype
    target: Tensor  # (N,) int64
    row: Tensor  # (N,) int64, which row of the batch
    content: Tensor  # (N,) bool, False for the format's trailing tokens

    def __len__(self) -> int:
        """Return N."""
        return len(self.target)

    def where(self, mask: Tensor) -> "TokenScores":
        """Return the places for which the mask (N,) holds."""
        return TokenScores(self.logits[mask], self.target[mask], self.row[mask], self.content[mask])


def score(model: PreTrainedModel, batch: Batch) -> TokenScores:
    """Return the logits that predict each scored token of the batch.

    The output head runs on the scored places only: with a large vocabulary it is the widest product of the model, and
    prompts and padding need none of it. :func:`require_plain_head` proves once per model that this equals the
    model's own logits.
    """
    logits = model.get_output_embeddings()(place_hidden(model, batch))  # (N, V)
    return TokenScores(logits=logits, target=batch.target, row=batch.row, content=batch.content)


def place_hidden(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the last hidden states (N, D) at the scored places, the final norm included."""
    hidden = backbone_hidden(model, batch.input_ids, batch.attention_mask, batch.position_ids)  # (B, T, D)
    return hidden[batch.line, batch.position]


def backbone_hidden(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None
) -> Tensor:
    """Return the last hidden states (B, T, D), the final norm included.

    Args:
        model: reads them.
        input_ids: (B, T).
        attention_mask: (B, T), 0 at padding.
        position_ids: (B, T) where lines are packed. Transformers then keeps the examples of a line apart by them, and
            does so only where no mask is given.
    """
    backbone = getattr(model, model.base_model_prefix)
    if position_ids is None:
        output = backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
    else:
        output = backbone(input_ids=input_ids, position_ids=position_ids, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden


@torch.no_grad()
def require_plain_head(model: PreTrainedModel) -> None:
    """Return if the model's logits are its output embedding applied to its last hidden state.

    Raises:
        UnsupportedBaseModelError: they are not (a soft cap, a logit scale), so scoring by places would be wrong.
    """
    input_ids = torch.arange(8, device=model.device).unsqueeze(0) % model.config.vocab_size
    mask = torch.ones_like(input_ids)
    own = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits.float()
    ours = model.get_output_embeddings()(backbone_hidden(model, input_ids, mask)).float()
    if not torch.allclose(own, ours, rtol=1e-3, atol=1e-3 * float(own.abs().max())):
        raise UnsupportedBaseModelError(
            f"{type(model).__name__} changes its logits after the output head; such models are not supported"
        )
