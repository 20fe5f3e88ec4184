from core.domain.events import EventType, NewEvent
from tests.fakes.clock import START


def test_data_keeps_its_types_and_loses_what_json_cannot_say():
    data = {"a": 1, "b": True, "c": 0.5, "d": "nan", "e": None, "f": float("nan"), "g": float("-inf")}

    event = NewEvent(type=EventType.METRICS, message="step 3", data=data, created_at=START)

    assert event.data == {"a": 1, "b": True, "c": 0.5, "d": "nan", "e": None, "f": None, "g": None}
    assert type(event.data["b"]) is bool
