"""One of two processes that hold a tiny model together, and compare what it computes with the whole model's."""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.nn import functional

from core.data.collate import collate, pack
from core.modeling.adapter import target_linears, weight_of
from core.modeling.recomputed import recomputed
from core.modeling.scoring import score
from core.modeling.sharding import is_sharded, shard
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model
from tests.unit.core.modeling.test_packing import examples
from tests.unit.core.modeling.test_recomputed import adapted
from worker.process_group import join

CPU = torch.device("cpu")
ROWS = examples([9, 2, 5, 12, 3, 7])


def computed(model, within):
    """Return everything of a model that a run reads: weights, logits, and gradients on padded and packed rows."""
    weights = [weight_of(layer) for layer in target_linears(model, "all-linear").values()]
    with torch.no_grad():
        found = [*weights, model(input_ids=torch.arange(20).view(2, 10)).logits]
    adapter = adapted(model)
    for batch in (collate(ROWS, pad_id=0), pack(ROWS, pad_id=0, attention_width=1e9, max_width=64)):
        with within(model):
            scores = score(model, batch)
            loss = functional.cross_entropy(scores.logits, scores.target)
            found += [scores.logits.detach(), *torch.autograd.grad(loss, adapter.parameters())]
    return found


def stored_entries(model):
    """Return how many weights this process holds between two passes."""
    return sum(
        (parameter.to_local() if hasattr(parameter, "to_local") else parameter).numel()
        for parameter in model.parameters()
    )


def main(rank, rendezvous):
    torch.set_num_threads(1)
    join("cpu", rank=rank, size=2, rendezvous=rendezvous)
    for architecture in ARCHITECTURES:
        for within in (lambda _: nullcontext(), recomputed):
            whole, spread = tiny_model(architecture), tiny_model(architecture)
            shard(spread, CPU)
            assert is_sharded(spread)
            assert not is_sharded(whole)
            layers = sum(parameter.numel() for parameter in whole.parameters()) - stored_entries(spread)
            expected, found = computed(whole, within), computed(spread, within)
            assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True)), architecture
            assert layers >= 0.4 * sum(
                weight.numel() for weight in expected[: len(list(target_linears(whole, "all-linear")))]
            )
        sys.stdout.write(f"{architecture}\n")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
