"""A process of a group whose first member has other values, as kernels of a GPU may leave it."""

import torch

from core.domain.catalog import IhlOptions
from core.unlearning import agreed_step
from core.unlearning.agreed_step import AgreedStep
from core.unlearning.step import Plan, StepLosses
from tests.unit.core.unlearning.conftest import adapted, base_model, rows

PLAN = Plan(step=0, forgetting=False, retain_weight=1.0)


def test_adapter_and_losses_are_those_of_the_first_process(monkeypatch):
    def broadcast(tensor, src):
        assert src == 0
        with torch.no_grad():
            tensor.fill_(0.25)

    monkeypatch.setattr("core.modeling.sharding.broadcast", broadcast)
    monkeypatch.setattr(agreed_step, "broadcast", broadcast)
    adapter = adapted(base_model(), IhlOptions(r=4), forget=rows(2, seed=1), retain=rows(2, seed=2))

    losses = AgreedStep(lambda *_: StepLosses(None, 0.75), adapter)(PLAN, torch.optim.SGD(adapter.parameters()))

    assert losses == StepLosses(None, 0.25)
    assert all(parameter.unique().tolist() == [0.25] for parameter in adapter.parameters())
