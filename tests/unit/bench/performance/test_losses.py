import sys

import pytest

from bench.performance.losses import LOSSES, Sizes, rows


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")
def test_each_loss_has_its_memory_and_its_time():
    found = rows(Sizes(places=1024, vocabulary=1 << 14, width=8, max_logit_bytes=1 << 20), repeats=1)
    memory, time = found[::2], found[1::2]
    assert len(memory) == len(time) == len(LOSSES)
    for row in memory:
        assert row.what.endswith("peak extra memory")
        assert row.figure < 0.4  # sixteen places at a time; what libraries keep is larger here than the chunks
        assert "16 tokens at a time" in row.how
    assert all(row.what.endswith("time") and row.figure > 0 for row in time)
