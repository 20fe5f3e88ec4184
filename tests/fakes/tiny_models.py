"""Every supported architecture with a few thousand random weights, and a tokenizer of bytes to go with it."""

from collections.abc import Callable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCAB = 257  # 256 bytes and the end of sequence
_EOS = "<|endoftext|>"
_SPECIAL = {"bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 256}
_ROTARY = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    **_SPECIAL,
}

ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt_neo": lambda: GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=16,
            max_position_embeddings=256,
            **_SPECIAL,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=256, **_SPECIAL)
    ),
    "llama_gqa_untied": lambda: LlamaForCausalLM(
        LlamaConfig(**_ROTARY, num_key_value_heads=2, tie_word_embeddings=False)
    ),
    "llama_tied": lambda: LlamaForCausalLM(LlamaConfig(**_ROTARY, num_key_value_heads=4, tie_word_embeddings=True)),
    "phi": lambda: PhiForCausalLM(PhiConfig(**_ROTARY)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_ROTARY, num_key_value_heads=2)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_ROTARY)),
}


def tiny_model(architecture: str, *, seed: int = 0) -> PreTrainedModel:
    """Return the architecture with random weights, in evaluation mode; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ARCHITECTURES[architecture]()
        for parameter in model.parameters():
            # Initial weights of 0.02 leave every prediction alike; these are large enough for distinct ones.
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval().requires_grad_(False)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a byte: any text can be encoded, and every length is predictable."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: place for place, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_EOS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=_EOS, eos_token=_EOS, pad_token=_EOS)
