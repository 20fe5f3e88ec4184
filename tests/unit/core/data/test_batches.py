from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from core.data.batches import batches_by_length, training_batch
from core.data.collate import collate
from core.data.corpus import Example


def rows(lengths):
    return [
        Example(id=str(place), tokens=tuple(range(length)), first_label=1, num_trailing=0)
        for place, length in enumerate(lengths)
    ]


LENGTHS = st.lists(st.integers(2, 50), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 400))
def test_batches_by_length_hold_every_row_once_within_the_budget(lengths, budget):
    examples = rows(lengths)
    batches = batches_by_length(examples, max_batch_tokens=budget)
    assert Counter(place for batch in batches for place in batch) == Counter(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[place] for place in batch)
        assert padded <= budget or len(batch) == 1


@given(LENGTHS, st.integers(1, 16), st.integers(0, 1000))
def test_training_epoch_holds_every_row(lengths, batch_size, seed):
    examples = rows(lengths)
    size = min(batch_size, len(examples))
    steps = -(-len(examples) // size)
    seen = Counter(
        place
        for step in range(steps)
        for place in training_batch(examples, batch_size=batch_size, step=step, seed=seed)
    )
    assert set(seen) == set(range(len(lengths)))
    assert sum(seen.values()) == steps * size
    assert max(seen.values()) <= 2  # the last batch of an epoch is filled up with rows of the same epoch


@given(LENGTHS, st.integers(0, 40), st.integers(0, 40))
def test_training_batch_depends_on_seed_and_step_alone(lengths, step, other):
    examples = rows(lengths)
    first = training_batch(examples, batch_size=8, step=step, seed=1)
    training_batch(examples, batch_size=8, step=other, seed=2)
    assert training_batch(examples, batch_size=8, step=step, seed=1) == first


def test_epochs_differ():
    examples = rows(range(2, 66))
    assert training_batch(examples, batch_size=64, step=0, seed=1) != training_batch(
        examples, batch_size=64, step=1, seed=1
    ) or training_batch(examples, batch_size=8, step=0, seed=1) != training_batch(
        examples, batch_size=8, step=8, seed=1
    )


def test_collate_points_each_label_at_the_state_that_predicts_it():
    examples = [
        Example(id="a", tokens=(5, 6, 7, 8), first_label=2, num_trailing=1),
        Example(id="b", tokens=(9, 4), first_label=1, num_trailing=0),
    ]
    batch = collate(examples, pad_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 7, 8], [9, 4, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.row.tolist() == [0, 0, 1]
    assert batch.position.tolist() == [1, 2, 0]
    assert batch.target.tolist() == [7, 8, 4]
    assert batch.content.tolist() == [True, False, True]
