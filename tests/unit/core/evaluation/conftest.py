from collections.abc import Callable

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from core.data.corpus import Example

VOCABULARY = 24
CONTEXT = 40

_ROTARY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}


def _gpt_neo() -> PreTrainedModel:
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            attention_types=[[["global", "local"], 1]],
            window_size=4,  # shorter than the sequences, so that the local layer forgets what it should
            max_position_embeddings=CONTEXT,
            bos_token_id=0,
            eos_token_id=1,
        )
    )


def _gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=CONTEXT, bos_token_id=0, eos_token_id=1
    )
    return GPT2LMHeadModel(config)


ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt_neo": _gpt_neo,
    "gpt2": _gpt2,
    "llama_gqa": lambda: LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **_ROTARY)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_ROTARY)),
    "phi": lambda: PhiForCausalLM(PhiConfig(**_ROTARY)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=2, **_ROTARY)),
    "mistral_sliding": lambda: MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=5, **_ROTARY)),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
    yield
    torch.set_num_threads(before)


def build(architecture: str, *, seed: int = 0) -> PreTrainedModel:
    """A random model in double precision, so that no two tokens tie and the order of sums decides nothing.

    The weights are four times their usual size: freshly initialised models repeat one token for ever.
    """
    torch.manual_seed(seed)
    model = ARCHITECTURES[architecture]().double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    return model


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def model(request) -> PreTrainedModel:
    return build(request.param)


@pytest.fixture(scope="session")
def gpt_neo() -> PreTrainedModel:
    return build("gpt_neo")


@pytest.fixture(scope="session")
def make_example() -> Callable[..., Example]:
    def make(length: int, *, first_label: int = 1, num_trailing: int = 0, seed: int = 0, id: str = "item") -> Example:  # noqa: A002
        tokens = torch.randint(0, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
        return Example(id, tuple(tokens), first_label, num_trailing)

    return make


@pytest.fixture(scope="session")
def overfit() -> Callable[..., PreTrainedModel]:
    """Trains a fresh model on examples for a few steps, so that it predicts some tokens and misses others."""

    def train(architecture: str, examples: list[Example], *, steps: int) -> PreTrainedModel:
        model = build(architecture)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(steps):
            for example in examples:
                tokens = torch.tensor([example.tokens])
                model(input_ids=tokens, labels=tokens).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        return model

    return train
