import pytest
import torch
from torch import nn

from core.modeling.adapter import target_linears
from core.modeling.stand_ins import stand_ins
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model


class Zero(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        return 0.0 * self.own(x)


def logits(model):
    ids = torch.randint(VOCAB, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    return tiny_model(request.param)


def zeros(model):
    return {name: Zero(layer) for name, layer in target_linears(model, "all-linear").items()}


def test_within_the_stand_ins_compute_and_afterwards_the_model_is_the_same_bit_for_bit(model):
    before, modules = logits(model), list(model.named_modules())

    with stand_ins(model, zeros(model)):
        within = logits(model)

    assert not torch.equal(within, before)
    assert torch.equal(logits(model), before)
    assert [(name, id(module)) for name, module in model.named_modules()] == [(n, id(m)) for n, m in modules]


def test_an_error_within_puts_everything_back(model):
    before = logits(model)

    with pytest.raises(ZeroDivisionError), stand_ins(model, zeros(model)):
        1 / 0  # noqa: B018

    assert torch.equal(logits(model), before)


def test_a_name_that_is_not_there_changes_nothing():
    model = tiny_model("gpt_neo")
    before = logits(model)

    with pytest.raises(AttributeError), stand_ins(model, zeros(model) | {"transformer.nowhere": nn.Identity()}):
        pass

    assert torch.equal(logits(model), before)
