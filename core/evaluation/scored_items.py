from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.modeling.scoring import TokenScores, score

# Places whose logits are turned to float32 at once: 256 x 150k tokens of vocabulary are 150 MB.
CHUNK = 256
MAX_BATCH_TOKENS = 2048
# Stands for the logarithm of zero: 0 times minus infinity is no number, and such a token adds nothing.
IMPOSSIBLE = -1e4


@dataclass(frozen=True)
class TokenSpread:
    """How the log probability is distributed under the model's own prediction ``p`` at each place; on the CPU."""

    mean: Tensor  # (m,) float32, E_p[log p] in nats: the entropy of the prediction, negated
    deviation: Tensor  # (m,) float32, the standard deviation of log p under p, 0 where the model is certain

    def where(self, mask: Tensor) -> "TokenSpread":
        """Return the places for which the mask (m,) holds."""
        return TokenSpread(self.mean[mask], self.deviation[mask])


@dataclass(frozen=True)
class ItemScores:
    """What the model predicts along one item when it is shown the truth so far (teacher forcing); all on the CPU.

    The ``m`` places are the item's content. The format's trailing tokens (``t`` of them, none for a text) are kept
    apart: of the metrics here only memorization accuracy, which is defined over every label, asks for them.
    """

    id: str
    log_prob: Tensor  # (m,) float32, natural logarithm, of the true tokens
    predicted: Tensor  # (m,) int64, the most probable token
    target: Tensor  # (m,) int64, the true token
    trailing_correct: Tensor  # (t,) bool
    spread: TokenSpread | None = None  # only where it was asked for
    prompted: bool = True  # False for a text

    @property
    def correct(self) -> Tensor:
        """Where the most probable token is the true one, (m,) bool."""
        return self.predicted == self.target

    @property
    def loss(self) -> float:
        """The mean negative log probability of the true tokens in nats, at least 0."""
        return -float(self.log_prob.double().mean())

    def __len__(self) -> int:
        """Return m, the number of content tokens."""
        return len(self.target)


def score_items(
    model: PreTrainedModel,
    examples: Sequence[Example],
    *,
    pad_id: int,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    with_spread: bool = False,
) -> list[ItemScores]:
    """Return the scores of each example, in order, from one forward pass over each.

    Every teacher-forced metric reads this one pass. A batch's logits are reduced to three numbers a token, five with
    the spread, before the next batch is run, so memory does not grow with the set. The model's training mode is as it
    was afterwards.
    """
    scored: dict[int, ItemScores] = {}
    with evaluating(model):
        for places in batches_by_length(examples, max_batch_tokens=max_batch_tokens):
            rows = [examples[place] for place in places]
            scored.update(zip(places, _score_batch(model, rows, pad_id=pad_id, with_spread=with_spread), strict=True))
    return [scored[place] for place in range(len(examples))]


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout and gradients off for a while."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def spread_of(log_probs: Tensor) -> TokenSpread:
    """Return how log p is spread under p at each place, from the log probabilities (N, V) of every token.

    The variance is summed around the mean: the difference of two moments would lose its digits in float32.
    """
    log_probs = log_probs.clamp(min=IMPOSSIBLE)
    probs = log_probs.exp()  # (N, V)
    mean = (probs * log_probs).sum(dim=-1, keepdim=True)  # (N, 1)
    variance = (probs * (log_probs - mean).square()).sum(dim=-1)  # (N,)
    return TokenSpread(mean.squeeze(1), variance.sqrt())


def _score_batch(
    model: PreTrainedModel, examples: Sequence[Example], *, pad_id: int, with_spread: bool
) -> list[ItemScores]:
    scores = score(model, collate(examples, pad_id=pad_id).to(model.device))
    log_prob, predicted = _reduced(scores)
    spread = _spread(scores) if with_spread else None
    target, row, content = scores.target.cpu(), scores.row.cpu(), scores.content.cpu()
    items = []
    for place, example in enumerate(examples):
        kept, trailing = (row == place) & content, (row == place) & ~content
        correct = predicted[trailing] == target[trailing]
        its_spread = None if spread is None else spread.where(kept)
        items.append(
            ItemScores(example.id, log_prob[kept], predicted[kept], target[kept], correct, its_spread, example.prompted)
        )
    return items


def _reduced(scores: TokenScores) -> tuple[Tensor, Tensor]:
    """Return the log probability of the true token and the most probable token, each (N,), by way of float32."""
    log_probs, predicted = [], []
    for logits, target in zip(scores.logits.split(CHUNK), scores.target.split(CHUNK), strict=True):
        log_probs.append(logits.float().log_softmax(dim=-1).gather(1, target.unsqueeze(1)).squeeze(1))
        predicted.append(logits.argmax(dim=-1))
    return torch.cat(log_probs).cpu(), torch.cat(predicted).cpu()


def _spread(scores: TokenScores) -> TokenSpread:
    """Return the spread at the N places, by way of float32.

    It takes the softmax a second time rather than burden the pass of those who do not ask.
    """
    chunks = [spread_of(logits.float().log_softmax(dim=-1)) for logits in scores.logits.split(CHUNK)]
    return TokenSpread(
        torch.cat([chunk.mean for chunk in chunks]).cpu(), torch.cat([chunk.deviation for chunk in chunks]).cpu()
    )
