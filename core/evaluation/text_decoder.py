from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from transformers import PreTrainedTokenizerBase

TextDecoder: TypeAlias = Callable[[Tensor], str]


def text_decoder(tokenizer: PreTrainedTokenizerBase) -> TextDecoder:
    """Return a function from tokens (m,) int64 to their text up to the first end of sequence.

    Greedy continuations run as long as the true rest and take that token for one like others; what a model writes after
    it nobody reads.
    """

    def decode(tokens: Tensor) -> str:
        ids: list[int] = tokens.tolist()
        end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
        return str(tokenizer.decode(ids[:end], skip_special_tokens=True))

    return decode
