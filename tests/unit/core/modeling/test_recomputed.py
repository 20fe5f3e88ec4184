from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional
from torch.utils.checkpoint import CheckpointError
from transformers import OPTConfig, OPTForCausalLM

from core.data.collate import collate, pack
from core.modeling.adapter import LowRankPair, attach, target_linears, weight_of
from core.modeling.model_state import changes, state_of
from core.modeling.recomputed import recomputed
from core.modeling.scoring import score
from core.modeling.smooth_kernels import smooth_kernels
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model
from tests.unit.core.modeling.test_packing import examples

ROWS = examples([9, 2, 5, 12, 3, 7])
BATCHES = {"rows": collate(ROWS, pad_id=0), "packed": pack(ROWS, pad_id=0, attention_width=1e9, max_width=64)}


def adapted(model):
    generator = torch.Generator().manual_seed(1)
    pairs = {}
    for name, layer in target_linears(model, "all-linear").items():
        rows, columns = weight_of(layer).shape
        pair = LowRankPair(
            a=0.1 * torch.randn(4, columns, generator=generator), b=0.1 * torch.randn(rows, 4, generator=generator)
        )
        pairs[name] = (pair, LowRankPair(a=pair.a, b=0.5 * pair.b))
    return attach(model, pairs, scaling=2.0)


def gradients(model, batch, within):
    adapter = adapted(model)
    with within(model):
        scores = score(model, batch)
        functional.cross_entropy(scores.logits, scores.target).backward()
    return [parameter.grad for parameter in adapter.parameters()]


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_those_of_a_pass_that_keeps_everything(architecture, batch):
    kept = gradients(tiny_model(architecture), batch, lambda _: nullcontext())
    made_anew = gradients(tiny_model(architecture), batch, recomputed)

    assert all(torch.equal(one, other) for one, other in zip(kept, made_anew, strict=True))
    assert all(gradient.abs().max() > 0 for gradient in made_anew)


def test_layer_with_a_dropout_of_its_own_stays_in_evaluation_mode():
    def model():
        torch.manual_seed(0)
        config = OPTConfig(
            vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4, dropout=0.5
        )
        return OPTForCausalLM(config).eval().requires_grad_(False)

    kept = gradients(model(), BATCHES["rows"], lambda _: nullcontext())
    made_anew = gradients(model(), BATCHES["rows"], recomputed)

    assert all(torch.equal(one, other) for one, other in zip(kept, made_anew, strict=True))


def kept_bytes(model, within):
    """Return the bytes that the forward pass of a batch leaves for the backward pass, weights aside."""
    adapted(model)
    weights = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    found = {}

    def note(tensor):
        if tensor.data_ptr() not in weights:
            found[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with within(model), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        score(model, BATCHES["rows"])
    return sum(found.values())


def test_far_less_is_kept_for_the_backward_pass():
    model = tiny_model("llama_tied")
    everything = kept_bytes(model, lambda _: nullcontext())
    assert kept_bytes(tiny_model("llama_tied"), recomputed) < everything / 4


def test_layers_pass_forward_twice_with_gradients_and_once_without():
    model, calls = tiny_model("llama_tied"), []
    model.model.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    adapted(model)
    with recomputed(model):
        with torch.no_grad():
            score(model, BATCHES["rows"])
        assert len(calls) == 1
        score(model, BATCHES["rows"]).logits.sum().backward()
    assert len(calls) == 3


def test_hooks_of_a_layer_run_once():
    model, calls = tiny_model("llama_tied"), []
    model.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    gradients(model, BATCHES["rows"], recomputed)
    assert len(calls) == 1


def test_model_is_left_as_it_was_also_after_an_error():
    def pass_and_fail(model):
        with recomputed(model):
            score(model, BATCHES["rows"])
            raise RuntimeError("halfway")

    model = tiny_model("gpt_neo")
    before = state_of(model)
    with pytest.raises(RuntimeError, match="halfway"):
        pass_and_fail(model)
    assert changes(before, state_of(model)) == []


def test_second_derivative_that_would_lack_terms_raises_an_error():
    def differentiate_twice(model):
        adapter = adapted(model)
        with recomputed(model), smooth_kernels():
            loss = score(model, BATCHES["rows"]).logits.square().mean()
            first = torch.autograd.grad(loss, adapter.parameters(), create_graph=True)
            torch.autograd.grad(sum(part.square().sum() for part in first), adapter.parameters())

    with pytest.raises(CheckpointError):
        differentiate_twice(tiny_model("gpt_neox"))
