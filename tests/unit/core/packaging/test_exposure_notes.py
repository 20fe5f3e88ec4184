import pytest

from core.domain.report import Exposure
from core.packaging.exposure_notes import LUCK_BITS, exposure_reading, most_bits


@pytest.mark.parametrize(("p_value", "reading"), [(0.049, "stands out"), (0.05, "may be luck"), (0.9, "may be luck")])
def test_exposure_is_read_by_its_p_value(p_value, reading):
    assert exposure_reading(Exposure(mean=2.0, p_value=p_value, n=9, num_candidates=256)) == reading


def test_luck_is_the_mean_of_all_ranks():
    ranks = 2**16
    assert sum(most_bits(ranks - 1) - most_bits(rank - 1) for rank in range(1, ranks + 1)) / ranks == pytest.approx(
        LUCK_BITS, abs=1e-3
    )


def test_first_of_all_candidates_is_the_most_that_can_be_shown():
    assert most_bits(255) == 8.0
