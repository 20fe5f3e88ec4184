from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


# RFC 3339 with Z, in whatever zone the database session gave it back.
Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
