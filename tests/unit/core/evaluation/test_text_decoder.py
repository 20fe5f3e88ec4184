import torch

from core.evaluation.text_decoder import text_decoder
from tests.fakes.tiny_models import byte_tokenizer


def tokens_of(text):
    return torch.tensor(byte_tokenizer()(text)["input_ids"])


def test_tokens_become_their_text():
    assert text_decoder(byte_tokenizer())(tokens_of(" Oslo, of course")) == " Oslo, of course"


def test_text_ends_at_the_end_of_sequence():
    decode = text_decoder(byte_tokenizer())

    assert decode(tokens_of("Oslo<|endoftext|>Q: and then?")) == "Oslo"
    assert decode(tokens_of("<|endoftext|>Oslo")) == ""


def test_tokenizer_without_an_end_of_sequence_decodes_everything():
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None

    assert text_decoder(tokenizer)(tokens_of("Oslo")) == "Oslo"
