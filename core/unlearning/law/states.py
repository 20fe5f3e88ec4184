from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.modeling.base_model import BaseModel
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import backbone_hidden
from core.unlearning.law.closed_form import LowRankEdit
from core.unlearning.law.facts import Fact, SubjectRow

_BATCH_TOKENS = 4096


def subject_states(base: BaseModel, layer: int, facts: Sequence[Fact]) -> Tensor:
    """Return the hidden states behind a decoder layer at the last subject token of the plain prompts, (n, D)."""
    module = decoder_layers(base.model)[layer]
    return _at_subjects(base, module, [fact.plain for fact in facts], reads=False)


def subject_keys(base: BaseModel, linear: nn.Module, facts: Sequence[Fact]) -> Tensor:
    """Return what a down-projection reads at the last subject token, (in, n).

    The plain prompt counts as much as all its contexts together, as in the published code.
    """
    plain = _at_subjects(base, linear, [fact.plain for fact in facts], reads=True)
    rows = [row for fact in facts for row in fact.in_contexts]
    if not rows:
        return plain.T
    in_contexts = _at_subjects(base, linear, rows, reads=True).split([len(fact.in_contexts) for fact in facts])
    means = [found.mean(dim=0) if len(found) else own for own, found in zip(plain, in_contexts, strict=True)]
    return ((plain + torch.stack(means)) / 2).T


@contextmanager
def edited(edits: Mapping[nn.Module, LowRankEdit]) -> Iterator[None]:
    """Within, these linear layers compute with their edit; their weights stay."""
    with ExitStack() as hooks:
        for linear, edit in edits.items():
            hooks.callback(_add_edit(linear, edit).remove)
        yield


def _add_edit(linear: nn.Module, edit: LowRankEdit) -> RemovableHandle:
    left, right = edit.left.float(), edit.right.float()

    def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + (inputs[0].float() @ right.T @ left.T).to(output.dtype)

    return linear.register_forward_hook(add)


@torch.no_grad()
def _at_subjects(base: BaseModel, module: nn.Module, rows: Sequence[SubjectRow], *, reads: bool) -> Tensor:
    """Return what the module reads, or what it writes, at the subject of each row, (n, width) float32."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        written = output[0] if isinstance(output, tuple) else output
        seen.append(inputs[0] if reads else written)

    handle = module.register_forward_hook(keep)
    found: dict[int, Tensor] = {}
    try:
        for places in batches_by_length([row.example for row in rows], max_batch_tokens=_BATCH_TOKENS):
            mine = [rows[place] for place in places]
            batch = collate([row.example for row in mine], pad_id=base.pad_id).to(base.device)
            backbone_hidden(base.model, batch.input_ids, batch.attention_mask)
            states = seen.pop().reshape(*batch.input_ids.shape, -1)  # OPT flattens its batch within a layer
            found.update(zip(places, states[subject_index(mine)].float(), strict=True))
    finally:
        handle.remove()
    return torch.stack([found[place] for place in range(len(rows))])


def subject_index(rows: Sequence[SubjectRow]) -> tuple[list[int], list[int]]:
    """Return the index of each row's subject in a batch of (B, T, ...)."""
    return list(range(len(rows))), [row.subject for row in rows]
