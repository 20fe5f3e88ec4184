import pytest

from core.domain.errors import NotFoundError, StaleJobError
from worker.outage import outlast


class Failing:
    """Raises each error in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_outage_and_lost_race_are_tried_again():
    assert outlast(Failing(ConnectionError(), StaleJobError()), seconds=60, doing="ask", pause_seconds=0) == "answer"


def test_error_of_the_domain_is_an_answer():
    with pytest.raises(NotFoundError):
        outlast(Failing(NotFoundError()), seconds=60, doing="ask", pause_seconds=0)


def test_outage_that_lasts_too_long_is_raised():
    with pytest.raises(ConnectionError):
        outlast(Failing(ConnectionError()), seconds=-1, doing="ask", pause_seconds=0)
