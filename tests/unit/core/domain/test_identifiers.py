import re
from typing import get_args

import pytest

from core.domain.identifiers import Prefix, new_id


@pytest.mark.parametrize("prefix", get_args(Prefix))
def test_an_id_says_what_it_names_and_has_96_random_bits(prefix: Prefix):
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{24}}", new_id(prefix))


def test_ids_differ():
    assert len({new_id("job") for _ in range(100)}) == 100
