import torch

from bench.performance.extraction import Sizes, _generated, _measured, _model, rows
from core.data.corpus import Example

SIZES = Sizes(sequences=3, length=24, every=9, vocabulary=64, hidden=32, layers=2)


def test_ratio_is_measured_and_both_sides_write_the_same():
    ratio, alike = rows(SIZES, repeats=3)
    assert ratio.figure > 0
    assert "one prefix in 9, 5 of them" in ratio.how  # of 3 * 14, from the fifth on: the second race of two
    assert (alike.low, alike.high) == (1.0, 1.0)


def test_calls_write_every_continuation_of_ours():
    torch.manual_seed(1)
    model, examples = _model(SIZES), [Example("a", tuple(torch.randint(2, 64, (24,)).tolist()), 1, 0)]
    (continuations,) = _measured(model, examples).continuations
    assert len(continuations) == 14  # of 23 tokens with something before them, those of at least ten
    for at, text in enumerate(_generated(model, examples, [(0, at) for at in range(14)])):
        assert text.tolist() == continuations[at].tolist()
