import secrets
from typing import Literal

Prefix = Literal["dr", "job", "prb", "set", "key", "req"]


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as ``job_3f9c...``: 96 random bits, so it can be neither guessed nor counted."""
    return f"{prefix}_{secrets.token_hex(12)}"
