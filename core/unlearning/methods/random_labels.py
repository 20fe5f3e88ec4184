from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import nll
from core.unlearning.forget_loss import ForgetBatch, Needs, Surroundings


@dataclass(frozen=True)
class RandomLabels:
    """Cross-entropy against labels that were drawn once, uniformly over the vocabulary's ordinary tokens."""

    labels: Tensor  # (M,) int64, one for each content token of the forget set
    needs: ClassVar[Needs] = Needs()

    @classmethod
    def drawn(cls, around: Surroundings) -> Self:
        """Return the loss with its labels: a function of the seed. Special tokens are never drawn."""
        tokenizer = around.base.tokenizer
        # Reserved tokens are special without having a role, and all_special_ids names only those that have one.
        reserved = (token for token, added in tokenizer.added_tokens_decoder.items() if added.special)
        special = {*tokenizer.all_special_ids, *reserved}
        size = min(len(tokenizer), around.base.model.config.vocab_size)
        ordinary = torch.tensor([token for token in range(size) if token not in special])
        count = sum(len(example.answer) for example in around.forget)
        generator = torch.Generator().manual_seed(around.seed)
        return cls(ordinary[torch.randint(len(ordinary), (count,), generator=generator)].to(around.base.device))

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean cross-entropy against the drawn labels, in nats, not negative.

        References:
            Yao et al., ACL 2024, https://arxiv.org/abs/2402.15159, section 3 (fine-tuning with random labels).
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return replace(batch.states, target=self.labels[batch.place]).each(nll).mean()
