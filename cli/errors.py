from typing import ClassVar


class CommandError(Exception):
    """A command cannot go on. Its message, which says why and what to do, is all that the user sees."""

    exit_code: ClassVar[int] = 1


class UnansweredError(CommandError):
    """The API did not answer, or said that the same call may succeed later."""


class OutcomeUnknownError(CommandError):
    """A job was to be followed, and how it ended cannot be said. A code apart: a script must not take it for failed."""

    exit_code: ClassVar[int] = 3  # 2 is what wrong arguments end with
