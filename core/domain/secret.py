from typing import Annotated

from pydantic import AfterValidator, SecretStr

MIN_SECRET_CHARACTERS = 32
_PLACEHOLDERS = ("change", "replace", "example", "placeholder", "secret", "password", "default", "insecure", "xxxx")


def _refuse_placeholder(secret: SecretStr) -> SecretStr:
    """Return the secret if it can be one: long enough, not a word from a template, not one character over and over."""
    value = secret.get_secret_value()
    if len(value) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"at least {MIN_SECRET_CHARACTERS} characters are needed: try `openssl rand -hex 32`")
    if value.lower().startswith(_PLACEHOLDERS) or len(set(value)) < 8:
        raise ValueError("this is a placeholder, not a secret: try `openssl rand -hex 32`")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_refuse_placeholder)]
