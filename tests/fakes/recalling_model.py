"""A small model that recalls facts as large ones are known to: from what its MLPs wrote at the subject.

The tiny models know nothing, and the demo's lets its first attention carry a subject's tokens away, so that nothing
written at the subject later matters to it. Here all layers but the last see one token at a time, so whatever the last
one attends to at a subject was written by MLPs, and the embeddings are too small to speak.
"""

from functools import cache
from string import ascii_uppercase

import torch
from torch.nn import functional
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedModel

from core.data.collate import collate
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import FactItem
from core.modeling.scoring import score
from tests.fakes.tiny_models import VOCAB, byte_tokenizer

MAX_TOKENS = 64
_STEPS = 150
_LETTERS = ascii_uppercase[:16]


def known_facts() -> list[FactItem]:
    """Return a made-up code of each letter."""
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(97, 123, (len(_LETTERS), 3), generator=generator).tolist()
    return [
        FactItem(
            id=f"code-{letter}", subject=letter, prompt=f"Code of {letter} is", completion=f" {bytes(code).decode()}"
        )
        for letter, code in zip(_LETTERS, codes, strict=True)
    ]


def recalling_model() -> PreTrainedModel:
    """Return a model of three layers that knows :func:`known_facts` by heart, trained within seconds."""
    model = _untrained()
    model.load_state_dict(_trained())
    return model.eval().requires_grad_(False)


def _untrained() -> GPTNeoForCausalLM:
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCAB,
            hidden_size=48,
            num_layers=3,
            num_heads=4,
            attention_types=[[["local"], 2], [["global"], 1]],
            window_size=1,
            max_position_embeddings=MAX_TOKENS,
            tie_word_embeddings=False,
            bos_token_id=256,
            eos_token_id=256,
            pad_token_id=256,
        )
    ).eval()


@cache
def _trained() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _untrained()
    model.transformer.wte.requires_grad_(False)
    model.transformer.wpe.requires_grad_(False)
    batch = collate(ItemEncoder(byte_tokenizer(), TextFormat(), MAX_TOKENS)(known_facts()), pad_id=256)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3, weight_decay=0.0)
    for _ in range(_STEPS):
        scores = score(model, batch)
        optimizer.zero_grad()
        functional.cross_entropy(scores.logits, scores.target).backward()
        optimizer.step()
    return model.state_dict()
