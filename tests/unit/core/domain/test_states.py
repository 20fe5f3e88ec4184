from itertools import product

import pytest

from core.domain.errors import IllegalTransitionError
from core.domain.states import TRANSITIONS, JobState, require_transition

Q, R, C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
OK, BAD, OFF = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

# Written out a second time on purpose: a change of the table has to be meant twice.
ALLOWED = {(Q, R), (Q, OFF), (R, OK), (R, BAD), (R, C), (R, Q), (C, OFF), (C, BAD)}


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_every_pair_of_states_is_decided(before: JobState, after: JobState):
    if (before, after) in ALLOWED:
        require_transition(before, after)
        return
    with pytest.raises(IllegalTransitionError) as refused:
        require_transition(before, after)
    assert all(possible in str(refused.value) for possible in TRANSITIONS[before])


def test_terminal_states_are_those_without_a_way_out():
    assert {state for state in JobState if state.is_terminal} == {OK, BAD, OFF}


def test_every_state_is_reached_from_queued_and_reaches_an_end():
    def reachable(start: JobState) -> set[JobState]:
        seen, frontier = {start}, [start]
        while frontier:
            new = TRANSITIONS[frontier.pop()] - seen
            seen |= new
            frontier += new
        return seen

    assert reachable(Q) == set(JobState)
    assert all(any(state.is_terminal for state in reachable(start)) for start in JobState)
