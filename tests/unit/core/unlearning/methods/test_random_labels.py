import math

import pytest
import torch
from transformers import AddedToken

from core.data.corpus import Example
from core.modeling.base_model import BaseModel
from core.unlearning.forget_loss import Surroundings
from core.unlearning.methods.random_labels import RandomLabels
from tests.fakes.tiny_models import VOCAB, byte_tokenizer, tiny_model
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient

EOS = VOCAB - 1


def surroundings(*, answers=(3, 5), seed=0, tokenizer=None):
    """A forget set whose answers are this long, with a prompt of two tokens and one trailing token each."""
    forget = [Example(str(place), tuple(range(2 + length + 1)), 2, 1) for place, length in enumerate(answers)]
    base = BaseModel(model=tiny_model("gpt_neo"), tokenizer=tokenizer or byte_tokenizer(), path=None)
    return Surroundings(base=base, forget=forget, seed=seed)


def test_value_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    loss = RandomLabels(torch.tensor([2, 0, 1]))
    expected = -(math.log(0.1) + math.log(0.3)) / 2
    assert loss(forget_batch(p.log(), [0, 0], place=[0, 2])).item() == pytest.approx(expected)


def test_gradient_is_prediction_minus_drawn_label():
    logits, labels = drawn(3, 5).requires_grad_(), torch.tensor([1, 4, 0, 2])
    loss = RandomLabels(labels)(forget_batch(logits, [0, 0, 0], place=[3, 0, 1]))
    torch.testing.assert_close(gradient(loss, logits), -ascent(logits, [2, 1, 4]) / 3)


def test_place_has_the_same_label_in_every_batch():
    loss, logits = RandomLabels.drawn(surroundings()), drawn(8, VOCAB)
    together = loss(forget_batch(logits, [0] * 8))
    apart = [loss(forget_batch(logits[[place]], [0], place=[place])) for place in range(8)]
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_each_content_token_of_the_forget_set_has_a_label():
    assert len(RandomLabels.drawn(surroundings(answers=(3, 5, 1))).labels) == 9


def test_labels_are_a_function_of_the_seed():
    first, second, other = (RandomLabels.drawn(surroundings(seed=seed)).labels for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_labels_are_uniform_over_the_ordinary_tokens():
    labels = RandomLabels.drawn(surroundings(answers=(20_000,))).labels
    counts = torch.bincount(labels, minlength=VOCAB)
    assert counts[EOS] == 0
    assert (counts[:EOS] > 30).all()  # 78 expected each


def test_reserved_tokens_without_a_role_are_never_drawn():
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(f"<|reserved_{number}|>", special=True) for number in range(200)])
    assert EOS + 1 not in tokenizer.all_special_ids
    around = surroundings(answers=(2000,), tokenizer=tokenizer)
    around.base.model.resize_token_embeddings(len(tokenizer))
    assert RandomLabels.drawn(around).labels.max() < EOS


def test_tokens_that_the_model_cannot_predict_are_never_drawn():
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"word{number}" for number in range(200)])
    assert RandomLabels.drawn(surroundings(answers=(2000,), tokenizer=tokenizer)).labels.max() < VOCAB
