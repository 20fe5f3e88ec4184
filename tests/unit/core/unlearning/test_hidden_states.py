import pytest
import torch

from core.data.collate import collate
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import backbone_hidden, score
from core.unlearning.hidden_states import capture
from tests.fakes.tiny_models import ARCHITECTURES
from tests.unit.core.unlearning.conftest import base_model, rows


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_captured_states_are_the_models_own(architecture):
    model = base_model(architecture).model
    batch = collate(rows(4, seed=0), pad_id=0)
    with capture(model, 0) as captured:
        score(model, batch)
    own = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
    expected = own.hidden_states[1][batch.row, batch.position]  # the first are the embeddings
    torch.testing.assert_close(captured.at(batch), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_of_the_last_layer_are_those_before_the_final_norm(architecture):
    model = base_model(architecture).model
    batch = collate(rows(4, seed=0), pad_id=0)
    with capture(model, 1) as captured:
        last = backbone_hidden(model, batch.input_ids, batch.attention_mask)
    backbone = getattr(model, model.base_model_prefix)
    (norm,) = (module for name, module in backbone.named_children() if "norm" in name or name == "ln_f")
    torch.testing.assert_close(norm(captured.at(batch)), last[batch.row, batch.position])


def test_no_layer_captures_nothing():
    model = base_model().model
    batch = collate(rows(4, seed=0), pad_id=0)
    with capture(model, None) as captured:
        score(model, batch)
    assert captured.at(batch) is None


def test_nothing_is_captured_afterwards():
    model = base_model().model
    with pytest.raises(RuntimeError, match="stop"), capture(model, 0):
        raise RuntimeError("stop")
    assert not decoder_layers(model)[0]._forward_hooks


def test_gradient_flows_back_through_captured_states():
    model = base_model().model
    batch = collate(rows(2, seed=0), pad_id=0)
    embeddings = model.get_input_embeddings().weight.requires_grad_()
    with capture(model, 0) as captured:
        score(model, batch)
    captured.at(batch).sum().backward()
    assert embeddings.grad.abs().max() > 0
