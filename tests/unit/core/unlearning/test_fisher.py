"""The fast Fisher pass against the slow obvious loop: one example, one backward pass, full weight gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from transformers import OPTConfig, OPTForCausalLM

from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import target_linears, weight_of
from core.unlearning.fisher import FisherPass, retain_fisher, row_importance
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model


def example(place, length, first_label, num_trailing=0):
    generator = torch.Generator().manual_seed(place)
    tokens = tuple(torch.randint(VOCAB, (length,), generator=generator).tolist())
    return Example(id=f"item-{place}", tokens=tokens, first_label=first_label, num_trailing=num_trailing)


def slow_gradients(model, layers, examples):
    """Mean cross-entropy over the rows' labels, differentiated with respect to the weights themselves."""
    for layer in layers.values():
        layer.weight.requires_grad_(True)
    losses = []
    for row in examples:
        ids = torch.tensor([row.tokens])
        logits = model(input_ids=ids, use_cache=False).logits[0, row.first_label - 1 : -1]
        losses.append(functional.cross_entropy(logits, ids[0, row.first_label :], reduction="none"))
    model.zero_grad()
    torch.cat(losses).mean().backward()
    gradients = {}
    for name, layer in layers.items():
        rows, _ = weight_of(layer).shape
        gradient = layer.weight.grad
        gradients[name] = (
            gradient.clone() if gradient.shape[0] == rows and layer.__class__.__name__ != "Conv1D" else gradient.T
        )
        layer.weight.requires_grad_(False)
    return gradients


def slow_fisher(model, layers, groups):
    total = {name: torch.zeros_like(weight_of(layer)) for name, layer in layers.items()}
    labels = 0
    for group in groups:
        count = sum(row.num_labels for row in group)
        labels += count
        for name, gradient in slow_gradients(model, layers, group).items():
            total[name] += count * gradient**2
    return {name: value / labels for name, value in total.items()}


ROWS = [example(0, 12, 4), example(1, 7, 1), example(2, 20, 9, num_trailing=1)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_per_example_fisher_equals_the_slow_loop(architecture):
    model = tiny_model(architecture)
    layers = target_linears(model, "all-linear")
    fast = retain_fisher(model, layers, ROWS, FisherPass(pad_id=0))
    slow = slow_fisher(model, layers, [[row] for row in ROWS])
    for name in layers:
        torch.testing.assert_close(fast[name], slow[name], rtol=2e-3, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(2, 24), st.integers(1, 23)), min_size=1, max_size=6),
    budget=st.integers(8, 200),
)
def test_per_example_fisher_does_not_depend_on_batching(shapes, budget):
    model = tiny_model("llama_gqa_untied")
    layers = target_linears(model, ["q_proj", "down_proj"])
    rows = [example(place, length, min(first, length - 1)) for place, (length, first) in enumerate(shapes)]
    fast = retain_fisher(model, layers, rows, FisherPass(pad_id=0, max_batch_tokens=budget))
    slow = slow_fisher(model, layers, [[row] for row in rows])
    for name in layers:
        torch.testing.assert_close(fast[name], slow[name], rtol=5e-3, atol=1e-8)


@pytest.mark.parametrize("architecture", ["gpt_neo", "gpt2"])
def test_paper_mode_squares_the_gradient_of_each_batch(architecture):
    model = tiny_model(architecture)
    layers = target_linears(model, "all-linear")
    fast = retain_fisher(model, layers, ROWS, FisherPass(pad_id=0, per_example=False))
    slow = slow_fisher(model, layers, [ROWS[:2], ROWS[2:]])
    for name in layers:
        torch.testing.assert_close(fast[name], slow[name], rtol=2e-3, atol=1e-9)


def test_row_importance_is_the_row_sum_of_the_fisher_ratio():
    model = tiny_model("gpt_neo")
    layers = target_linears(model, "all-linear")
    how = FisherPass(pad_id=0)
    retain = retain_fisher(model, layers, ROWS[:1], how)
    denominator = {name: value + 0.1 * value.mean() for name, value in retain.items()}
    streamed = row_importance(model, layers, ROWS[1:], how, denominator=denominator)
    forget = retain_fisher(model, layers, ROWS[1:], how)
    for name in layers:
        torch.testing.assert_close(streamed[name], (forget[name] / denominator[name]).sum(dim=1), rtol=1e-4, atol=1e-6)


def test_pass_leaves_no_hook_and_no_gradient_behind():
    model = tiny_model("llama_tied")
    layers = target_linears(model, "all-linear")
    retain_fisher(model, layers, ROWS, FisherPass(pad_id=0))
    assert all(not layer._forward_hooks for layer in layers.values())
    assert not model.get_input_embeddings()._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_layers_whose_inputs_are_flattened_equal_the_slow_loop():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    config = OPTConfig(vocab_size=VOCAB, num_attention_heads=4, max_position_embeddings=256, **shape)
    model = OPTForCausalLM(config).eval().requires_grad_(False)
    layers = target_linears(model, "all-linear")
    for per_example, groups in ((True, [[row] for row in ROWS]), (False, [ROWS[:2], ROWS[2:]])):
        fast = retain_fisher(model, layers, ROWS, FisherPass(pad_id=0, per_example=per_example))
        slow = slow_fisher(model, layers, groups)
        for name in layers:
            torch.testing.assert_close(fast[name], slow[name], rtol=2e-3, atol=1e-9)


def altered(forward):
    """A model whose first ``up_proj`` is called in another way, and that layer's name."""
    model = tiny_model("llama_tied")
    mlp = model.model.layers[0].mlp
    mlp.forward = lambda x: forward(mlp, x)
    return model, {"model.layers.0.mlp.up_proj": mlp.up_proj}


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda mlp, x: mlp.down_proj(mlp.up_proj(x) + mlp.up_proj(x.tanh())), "runs twice"),
        (lambda mlp, x: mlp.down_proj(mlp.up_proj(x[:, 1:]).mean(dim=1, keepdim=True)), "every token"),
        (lambda mlp, x: mlp.down_proj(mlp.up_proj(x.flatten(0, 1)[1:])).mean(), "every token"),
        (lambda mlp, x: mlp.down_proj(mlp.up_proj(torch.ones_like(x))), "does not depend"),
    ],
    ids=["twice", "fewer tokens", "fewer rows", "constant"],
)
def test_layer_whose_gradient_is_not_one_product_is_refused_by_name(forward, reason):
    model, layers = altered(forward)
    with pytest.raises(UnsupportedBaseModelError, match=rf"layers\.0\.mlp\.up_proj .*{reason}"):
        retain_fisher(model, layers, ROWS, FisherPass(pad_id=0))
    assert not layers["model.layers.0.mlp.up_proj"]._forward_hooks


@pytest.mark.parametrize(
    "forward",
    [
        lambda _, x: x,
        lambda mlp, x: x + 0 * mlp.down_proj(mlp.up_proj(x[:0])).sum(),
        lambda mlp, x: x + 0 * mlp.up_proj(x).sum().detach(),
    ],
    ids=["not called", "no token", "not used"],
)
def test_layer_that_no_example_reaches_has_no_information(forward):
    model, layers = altered(forward)
    fisher = retain_fisher(model, layers, ROWS, FisherPass(pad_id=0))
    assert not fisher["model.layers.0.mlp.up_proj"].any()
