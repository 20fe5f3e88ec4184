"""What is trained on and the model that is: TOFU rows as tokens, and a small Llama with random weights."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from bench.tofu.data import load_all, load_protocol
from bench.tofu.scratch import tokenizer_of
from core.data.corpus import Example, ItemEncoder
from core.domain.base_model import TextFormat
from core.modeling.adapter import Adapter, LowRankPair, attach, target_linears, weight_of
from core.modeling.base_model import BaseModel

MAX_TOKENS = 512
_FORMAT = TextFormat(separator=" ")


@dataclass(frozen=True)
class Shape:
    """The size of the model. The defaults are the largest that leaves a run on two cores a matter of minutes."""

    hidden: int = 512
    layers: int = 4
    rank: int = 16

    def __str__(self) -> str:
        """Return it in words."""
        return f"Llama of {self.layers} layers, width {self.hidden}, adapter of rank {self.rank} on every linear layer"


@dataclass(frozen=True)
class Rows:
    """Rows to forget and to keep, as many of each, with the tokenizer that read them."""

    forget: list[Example]
    retain: list[Example]
    tokenizer: PreTrainedTokenizerBase

    @property
    def num_tokens(self) -> int:
        """Tokens of both sets."""
        return sum(len(row.tokens) for row in [*self.forget, *self.retain])


def tofu_rows(directory: Path, *, count: int) -> Rows:
    """Return so many rows of forget10 and of retain90, spread evenly over the files.

    Raises:
        TofuError: a file is missing.
    """
    protocol = load_protocol(directory, "10")
    tokenizer = tokenizer_of(load_all(directory))
    encode = ItemEncoder(tokenizer, _FORMAT, MAX_TOKENS)
    forget, retain = encode(protocol.forget), encode(protocol.retain)
    return Rows(_spread(forget, count), _spread(retain, count), tokenizer)


def _spread(rows: list[Example], count: int) -> list[Example]:
    return [rows[at * len(rows) // count] for at in range(count)]


def small_llama(rows: Rows, shape: Shape) -> BaseModel:
    """Return a base model of this shape, always with the same weights, on the device that there is."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(rows.tokenizer),
            hidden_size=shape.hidden,
            intermediate_size=8 * shape.hidden // 3 // 64 * 64,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.hidden // 64,
            num_key_value_heads=shape.hidden // 64,
            max_position_embeddings=MAX_TOKENS,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=rows.tokenizer.eos_token_id,
        )
    )
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    return BaseModel(model.to(device, dtype).eval().requires_grad_(False), rows.tokenizer, Path())


def anchored(base: BaseModel, shape: Shape) -> Adapter:
    """Attach an adapter as training begins with it: random pairs, each with its anchor, so that they cancel out."""
    generator = torch.Generator().manual_seed(1)
    pairs = {}
    for name, layer in target_linears(base.model, "all-linear").items():
        out, width = weight_of(layer).shape
        pair = LowRankPair(
            a=torch.randn(shape.rank, width, generator=generator).to(base.device) * width**-0.5,
            b=torch.randn(out, shape.rank, generator=generator).to(base.device) * 1e-2,
        )
        pairs[name] = (pair, replace(pair))
    return attach(base.model, pairs, scaling=2.0)
