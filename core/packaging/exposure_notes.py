import math

from core.domain.report import Exposure

# Luck gives ``e`` bits or more with probability ``2^-e``, so 1 / ln 2 on average.
LUCK_BITS = 1 / math.log(2)

# As everywhere on the page: luck that gives as much in fewer than one of twenty cases is not taken for luck.
MAX_P_VALUE = 0.05


def exposure_reading(exposure: Exposure) -> str:
    """Return what an exposure says, from its p-value."""
    return "stands out" if exposure.p_value < MAX_P_VALUE else "may be luck"


def most_bits(num_candidates: int) -> float:
    """Return the exposure of digits that are likelier than all candidates: no more can be shown with as many."""
    return math.log2(num_candidates + 1)
