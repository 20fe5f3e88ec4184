from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from cli.demo.options import DemoOptions
from core.data.batches import training_batch
from core.data.collate import Batch, collate
from core.data.corpus import Example
from core.modeling.scoring import TokenScores, score

# Nothing is left to gain once every answer has been given without a slip and with this little surprise on average.
_ENOUGH_LOSS = 0.03


@dataclass(frozen=True)
class Epoch:
    """How far memorising has come. ``memorised`` is the share of answers that the model gave without a slip."""

    number: int
    planned: int
    answer_loss: float
    memorised: float

    @property
    def is_enough(self) -> bool:
        """Whether every answer is memorised, and firmly."""
        return self.memorised == 1.0 and self.answer_loss < _ENOUGH_LOSS


@dataclass
class _Tally:
    """What an epoch saw of the answers, each one just before the step that trained on it."""

    rows: int = 0
    right_rows: int = 0
    tokens: int = 0
    loss: float = 0.0


def memorise(
    model: PreTrainedModel,
    examples: Sequence[Example],
    options: DemoOptions,
    *,
    pad_id: int,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train until every answer is memorised, or for as many epochs as the options allow.

    Prompts are trained on as well: a model that has read whole texts learns the names and the format faster than one
    that has seen answers only. Batches are a pure function of the seed, so the same options train the same weights.
    """
    whole = [replace(example, first_label=1) for example in examples]
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    steps_per_epoch = -(-len(whole) // options.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: _rate(step, warmup=options.warmup_steps, total=steps_per_epoch * options.max_epochs),
    )
    model.train()
    with _one_thread():
        for number in range(1, options.max_epochs + 1):
            tally = _Tally()
            for step in range((number - 1) * steps_per_epoch, number * steps_per_epoch):
                rows = training_batch(whole, batch_size=options.batch_size, step=step, seed=options.seed)
                batch = collate([whole[row] for row in rows], pad_id=pad_id)
                scores = score(model, batch)
                losses = functional.cross_entropy(scores.logits, scores.target, reduction="none")
                _count(tally, scores, losses.detach(), _answer_places(batch, [examples[row] for row in rows]))
                losses.mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            epoch = Epoch(number, options.max_epochs, tally.loss / tally.tokens, tally.right_rows / tally.rows)
            on_epoch(epoch)
            if epoch.is_enough:
                break
    model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the batches are so small that others would mostly wait, busily, for each other.

    And the sums, so the weights, do not depend on how many cores there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rate(step: int, *, warmup: int, total: int) -> float:
    """Return the share of the learning rate: a linear warm-up, a plateau, and a linear decay over the last two fifths.

    Most is memorised on the plateau, which a cosine would leave at once.
    """
    return min(1.0, (step + 1) / warmup, 2.5 * (1.0 - step / total))


def _answer_places(batch: Batch, examples: Sequence[Example]) -> Tensor:
    """Return which scored places (N,) belong to the answer of a question: the texts that start midway in their row.

    Prose is left out of the count, for nobody can guess whom the next biography is about.
    """
    first = torch.tensor([example.first_label for example in examples])[batch.row]
    return (first > 1) & (batch.position + 1 >= first) & batch.content


@torch.no_grad()
def _count(tally: _Tally, scores: TokenScores, losses: Tensor, places: Tensor) -> None:
    rows = scores.row[places]
    slips = scores.logits[places].argmax(dim=-1) != scores.target[places]
    answered = rows.unique()
    tally.rows += len(answered)
    tally.right_rows += len(answered) - len(rows[slips].unique())
    tally.tokens += len(rows)
    tally.loss += float(losses[places].sum())
