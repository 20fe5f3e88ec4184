import torch

from bench.performance import published
from bench.performance.rows_of_tofu import Rows, Shape, anchored, small_llama
from bench.performance.training import _gradients_alike
from core.data.corpus import Example
from core.modeling.adapter import target_linears
from core.unlearning.fisher import FisherPass, retain_fisher
from tests.fakes.tiny_models import byte_tokenizer

SHAPE = Shape(hidden=64, layers=2, rank=4)


def texts(count=4):
    generator = torch.Generator().manual_seed(0)

    def rows(name):
        return [
            Example(f"{name}{at}", tuple(torch.randint(3, 200, (9 + 5 * at,), generator=generator).tolist()), 4 + at, 1)
            for at in range(count)
        ]

    return Rows(rows("f"), rows("r"), byte_tokenizer())


def test_published_loss_has_the_gradient_of_our_step():
    assert _gradients_alike(texts(), SHAPE).figure < 1e-4


def test_published_importances_are_our_fisher_for_batches_of_one_row(monkeypatch):
    monkeypatch.setattr(published, "MICRO_BATCH", 1)
    rows = texts()
    base = small_llama(rows, SHAPE)
    _, theirs = published.importances(base.model, rows.forget, rows.retain, pad_id=base.pad_id)
    layers = target_linears(base.model, "all-linear")
    ours = retain_fisher(base.model, layers, rows.retain, FisherPass(pad_id=base.pad_id))
    for name, fisher in ours.items():
        # They add up in bfloat16.
        torch.testing.assert_close(theirs[f"{name}.weight"].float(), fisher, rtol=0.05, atol=1e-2 * float(fisher.max()))
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_published_epoch_trains_the_adapter_only():
    rows = texts()
    base = small_llama(rows, SHAPE)
    frozen = base.model.lm_head.weight.clone()
    wrapped = published.with_lora(base.model, rank=4)
    before = [parameter.detach().clone() for parameter in wrapped.parameters() if parameter.requires_grad]
    published.epoch(wrapped, rows.forget, rows.retain, pad_id=base.pad_id, learning_rate=1e-2)
    after = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert torch.equal(base.model.lm_head.weight, frozen)


def test_new_adapter_changes_nothing():
    rows = texts()
    base = small_llama(rows, SHAPE)
    ids = torch.tensor([rows.forget[0].tokens])
    untouched = base.model(input_ids=ids).logits
    anchored(base, SHAPE)
    torch.testing.assert_close(base.model(input_ids=ids).logits, untouched, atol=1e-5, rtol=1e-4)
