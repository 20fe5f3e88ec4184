import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.modeling.adapter import LowRankPair, attach, target_linears
from core.modeling.model_state import changes, state_of
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model


@pytest.fixture
def model():
    return tiny_model("gpt_neo")


def weight(model):
    return model.get_parameter("transformer.h.0.mlp.c_fc.weight")


def zero_adapter(model):
    def pair(linear):
        return LowRankPair(torch.zeros(2, linear.in_features), torch.zeros(linear.out_features, 2))

    linears = target_linears(model, ["c_fc", "q_proj"])
    return attach(model, {name: (pair(linear), pair(linear)) for name, linear in linears.items()}, scaling=1.0)


def write(model):
    with torch.no_grad():
        weight(model)[0, 0] += 1


def write_and_undo(model):
    with torch.no_grad():
        weight(model).add_(1)
        weight(model).sub_(1)


def write_behind_the_back(model):
    weight(model).data[0, 0] += 1


def replace_weight(model):
    model.transformer.h[0].mlp.c_fc.weight = torch.nn.Parameter(weight(model).clone(), requires_grad=False)


def write_buffer(model):
    bias = model.transformer.h[0].attn.attention.bias
    bias.logical_not_()


def leave_gradient(model):
    weight(model).grad = torch.zeros_like(weight(model))


CHANGES = {
    "a weight is written": write,
    "a weight is written and written back": write_and_undo,
    "a weight is written past autograd": write_behind_the_back,
    "a weight is another object": replace_weight,
    "a buffer is written": write_buffer,
    "a weight has a gradient": leave_gradient,
    "a weight is trained": lambda model: weight(model).requires_grad_(True),
    "a layer is in training mode": lambda model: model.transformer.h[1].train(),
    "a forward hook stays": lambda model: model.transformer.h[0].register_forward_hook(lambda *_: None),
    "a forward pre-hook stays": lambda model: model.transformer.wte.register_forward_pre_hook(lambda *_: None),
    "a backward hook stays": lambda model: model.lm_head.register_full_backward_hook(lambda *_: None),
    "an adapter is attached": zero_adapter,
    "peft is on it": lambda model: get_peft_model(model, LoraConfig(r=2, target_modules=["c_fc"])),
    "a layer has a new attribute": lambda model: setattr(model.transformer.h[0], "note", "of a job"),
    "a plain attribute is another": lambda model: setattr(model.transformer.drop, "p", 0.3),
    "the configuration is another": lambda model: setattr(model.config, "use_cache", False),
    "the generation configuration is another": lambda model: setattr(model.generation_config, "top_k", 7),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_shows(model, change):
    before = state_of(model)

    change(model)

    assert changes(before, state_of(model)) != []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_use_that_leaves_nothing_shows_nothing(architecture):
    model = tiny_model(architecture)
    before = state_of(model)
    rows = torch.arange(20).reshape(2, 10)

    with torch.no_grad():
        model(input_ids=rows)
        model.generate(input_ids=rows, attention_mask=torch.ones_like(rows), max_new_tokens=3, pad_token_id=0)
    handle = model.get_input_embeddings().register_forward_hook(lambda _, __, output: output.requires_grad_())
    model(input_ids=rows).logits.sum().backward()
    handle.remove()

    assert changes(before, state_of(model)) == []


def test_adapter_that_was_trained_and_detached_shows_nothing(model):
    before = state_of(model)

    adapter = zero_adapter(model)
    model(input_ids=torch.arange(20).reshape(2, 10)).logits.sum().backward()
    torch.optim.SGD(adapter.parameters(), lr=0.1).step()
    adapter.detach()

    assert changes(before, state_of(model)) == []


def test_change_is_named(model):
    before = state_of(model)

    write(model)

    assert changes(before, state_of(model)) == ["tensor transformer.h.0.mlp.c_fc.weight"]
