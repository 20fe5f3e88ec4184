import zlib

import pytest

from core.evaluation.membership.compressed_loss import CompressedLoss, compressed_size


def test_score_is_the_mean_loss_over_the_bytes(evidence):
    assert CompressedLoss().of_item(evidence([-2.0, -4.0], compressed_bytes=12)) == pytest.approx(0.25)


def test_size_is_that_of_the_compressed_utf8():
    text = "Grüße aus Łódź"

    assert compressed_size(text) == len(zlib.compress(text.encode("utf-8")))


def test_size_is_smaller_when_the_text_repeats_itself():
    assert compressed_size("abc" * 100) < compressed_size("".join(chr(33 + place * 7 % 90) for place in range(300)))


def test_size_is_never_zero():
    assert compressed_size("") > 0
