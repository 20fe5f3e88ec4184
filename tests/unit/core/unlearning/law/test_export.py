"""What is left of an edit at a rank, and whether plain PEFT computes with it."""

import pytest
import torch
from peft import PeftModel

from core.modeling.adapter import attach
from core.packaging.portable import to_portable, write_peft
from core.packaging.verify import logits_of, probe_rows
from core.unlearning.law.closed_form import LowRankEdit, Whitening
from core.unlearning.law.down_projections import down_projections
from core.unlearning.law.export import anchored_pairs, truncated
from core.unlearning.law.states import edited
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model
from tests.unit.core.unlearning.law.conftest import low_rank, moment


def edit_of(model, *, rank):
    (layer,) = down_projections(model, None)
    width = 4 * 32 if "c_proj" in layer.name else 64
    return layer, LowRankEdit(*low_rank(rank, out=32, rank=rank, width=width))


def test_edit_that_fits_stays_what_it_is():
    edit = LowRankEdit(*low_rank(0, out=6, rank=3, width=5))

    kept, lost = truncated(edit, torch.randn(5, 2), rank=3)

    assert lost == 0.0
    torch.testing.assert_close(kept.left @ kept.right, edit.left @ edit.right)
    torch.testing.assert_close(kept.left.T @ kept.left, torch.eye(3, dtype=torch.float64))


def test_truncation_keeps_the_most_of_the_effect_on_the_facts():
    edit, keys = LowRankEdit(*low_rank(1, out=9, rank=7, width=8)), low_rank(2, out=1, rank=7, width=8)[1].T

    kept, lost = truncated(edit, keys, rank=4)

    effect = edit.of(keys)
    rest = torch.linalg.svdvals(effect)[4:].norm()  # Eckart and Young: no effect of rank 4 misses less
    torch.testing.assert_close((effect - kept.of(keys)).norm(), rest)
    assert lost == pytest.approx(float(rest / effect.norm()))
    assert kept.left.shape == (9, 4)


def test_truncation_disturbs_no_more_than_the_whole_edit():
    edit, keys = LowRankEdit(*low_rank(1, out=9, rank=7, width=8)), low_rank(2, out=1, rank=7, width=8)[1].T
    whitening = Whitening.of(moment(3, width=8))

    assert whitening.disturbance(truncated(edit, keys, rank=4)[0]) <= whitening.disturbance(edit)


def test_truncation_of_nothing_loses_nothing():
    edit = LowRankEdit(torch.zeros(4, 3, dtype=torch.float64), torch.zeros(3, 5, dtype=torch.float64))

    kept, lost = truncated(edit, torch.ones(5, 3), rank=2)

    assert (kept.norm, lost) == (0.0, 0.0)


@pytest.mark.parametrize("rank", [3, 7, 8])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapter_is_the_edited_model(architecture, rank):
    model, rows = tiny_model(architecture), probe_rows(tiny_model(architecture), seed=0)
    layer, edit = edit_of(model, rank=rank)
    with edited({layer.linear: edit}):
        expected = logits_of(model, rows)

    kept, _ = truncated(edit, torch.zeros(edit.right.shape[1], 1), rank=8)
    attach(model, {layer.name: anchored_pairs(kept, rank=4)}, scaling=1.0)

    torch.testing.assert_close(logits_of(model, rows), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_package_in_plain_peft_is_the_edited_model(architecture, tmp_path):
    model, rows = tiny_model(architecture), probe_rows(tiny_model(architecture), seed=0)
    layer, edit = edit_of(model, rank=7)
    with edited({layer.linear: edit}):
        expected = logits_of(model, rows)
    adapter = attach(model, {layer.name: anchored_pairs(edit, rank=4)}, scaling=1.0)

    lora = to_portable(adapter)
    write_peft(lora, tmp_path, base_model="org/base", revision=None)

    assert (lora.rank, lora.scaling) == (8, 1.0)
    loaded = PeftModel.from_pretrained(tiny_model(architecture), tmp_path)
    torch.testing.assert_close(logits_of(loaded, rows), expected, rtol=1e-3, atol=1e-3)
