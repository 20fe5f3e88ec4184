"""Batched states against a loop over single rows, and edits against a model whose weights were changed."""

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from core.modeling.decoder import decoder_layers
from core.unlearning.law.closed_form import LowRankEdit
from core.unlearning.law.down_projections import down_projections
from core.unlearning.law.facts import encode_facts
from core.unlearning.law.states import edited, subject_keys, subject_states
from tests.fakes.tiny_models import ARCHITECTURES
from tests.unit.core.unlearning.law.conftest import encoder, facts, low_rank, tiny_base

CONTEXTS = ["So it is. ", "It was often said that. "]


def slow_key(base, linear, row):
    seen = []
    handle = linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    base.model(input_ids=torch.tensor([row.example.tokens]))
    handle.remove()
    return seen[0].reshape(len(row.example.tokens), -1)[row.subject]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_keys_are_the_mean_of_the_plain_prompt_and_of_its_contexts(architecture):
    base, found = tiny_base(architecture), encode_facts(encoder(), facts(4), CONTEXTS)
    (layer,) = down_projections(base.model, None)

    keys = subject_keys(base, layer.linear, found)

    for place, fact in enumerate(found):
        plain, *others = (slow_key(base, layer.linear, row) for row in fact.stated)
        torch.testing.assert_close(
            keys[:, place], plain / 2 + torch.stack(others).mean(dim=0) / 2, rtol=1e-4, atol=1e-5
        )


def test_keys_without_contexts_are_those_of_the_plain_prompt():
    base = tiny_base()
    (layer,) = down_projections(base.model, None)
    alone, mixed = encode_facts(encoder(), facts(2), []), encode_facts(encoder(max_tokens=40), facts(2), CONTEXTS)
    assert [len(fact.in_contexts) for fact in mixed] == [1, 1]

    keys = subject_keys(base, layer.linear, alone)

    torch.testing.assert_close(keys[:, 1], slow_key(base, layer.linear, alone[1].plain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_are_those_behind_the_layer_at_the_subject(architecture):
    base, found = tiny_base(architecture), encode_facts(encoder(), facts(3), [])

    states = subject_states(base, 0, found)

    for place, fact in enumerate(found):
        outputs = base.model(input_ids=torch.tensor([fact.plain.example.tokens]), output_hidden_states=True)
        torch.testing.assert_close(states[place], outputs.hidden_states[1][0, fact.plain.subject], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_edited_model_is_the_model_with_another_weight_and_only_within(architecture):
    base, changed = tiny_base(architecture), tiny_base(architecture)
    (layer,), (other,) = down_projections(base.model, None), down_projections(changed.model, None)
    edit = LowRankEdit(*low_rank(0, out=base.model.config.hidden_size, rank=2, width=_width(layer)))
    delta = (edit.left @ edit.right).float()
    other.linear.weight.add_(delta.T if isinstance(other.linear, Conv1D) else delta)
    tokens = torch.tensor([facts_tokens()])
    before = base.model(input_ids=tokens).logits

    with edited({layer.linear: edit}):
        within = base.model(input_ids=tokens).logits

    torch.testing.assert_close(within, changed.model(input_ids=tokens).logits, rtol=1e-3, atol=1e-4)
    assert torch.equal(base.model(input_ids=tokens).logits, before)
    assert not torch.allclose(before, within, atol=1e-3)


def test_no_hook_is_left_behind():
    base = tiny_base()
    (layer,) = down_projections(base.model, None)

    subject_keys(base, layer.linear, encode_facts(encoder(), facts(2), []))

    assert not layer.linear._forward_hooks
    assert not decoder_layers(base.model)[0]._forward_hooks


def facts_tokens():
    return encoder()(facts(1))[0].tokens


def _width(layer):
    return layer.linear.nx if isinstance(layer.linear, Conv1D) else layer.linear.in_features
