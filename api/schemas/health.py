from typing import Literal

from pydantic import BaseModel, ConfigDict

from api.readiness import PartState


class Alive(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)
    status: Literal["ok"]


class Ready(BaseModel):
    """Every part answers."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [{"status": "ready", "parts": {"database": "up", "broker": "up", "store": "up"}}]
        },
    )
    status: Literal["ready"]
    parts: dict[str, PartState]
