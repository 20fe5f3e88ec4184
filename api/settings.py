from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.domain.secret import Secret


class ApiSettings(BaseSettings):
    """How this API is deployed: one ``LETHE_...`` environment variable for each field."""

    # Without hide_input, a refused secret would be printed by the error that refuses it.
    model_config = SettingsConfigDict(env_prefix="LETHE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    broker_url: SecretStr
    store_url: str
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    secret_key: Secret

    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    max_forget_items: int = Field(default=1000, ge=1)
    max_retain_items: int = Field(default=10_000, ge=1)
    max_item_characters: int = Field(default=20_000, ge=1)
    readiness_timeout_seconds: float = Field(default=3.0, gt=0, le=60)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def secret_bytes(self) -> bytes:
        """The deployment's secret as the key of its HMACs."""
        return self.secret_key.get_secret_value().encode()
