from collections.abc import Sequence

import torch

from core.modeling.base_model import BaseModel

_STARTS = ("The", "Therefore", "Because", "I", "You")
_TOKENS = 10
MAX_CONTEXTS = len(_STARTS)


@torch.no_grad()
def write_contexts(base: BaseModel, *, count: int) -> Sequence[str]:
    """Return up to ``count`` beginnings of texts, as the base model continues the published first words.

    A fact's key is averaged over them, so that the edit takes the subject for what it is wherever it stands. Ten
    tokens each, greedily: the published code samples them.
    """
    contexts = []
    for start in _STARTS[:count]:
        tokens = torch.tensor([base.tokenizer(start).input_ids], device=base.device)
        for _ in range(min(_TOKENS, base.max_tokens - tokens.shape[1])):
            logits = base.model(input_ids=tokens, use_cache=False).logits[:, -1]
            tokens = torch.cat([tokens, logits.argmax(dim=-1, keepdim=True)], dim=1)
        contexts.append(base.tokenizer.decode(tokens[0], skip_special_tokens=True).strip())
    return [f"{context}. " for context in dict.fromkeys(contexts) if context]
