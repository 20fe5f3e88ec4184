from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.domain.secret import Secret


class DeploymentSettings(BaseSettings):
    """The deployment that a command acts on, by the same names as in the API and the worker."""

    model_config = SettingsConfigDict(env_prefix="LETHE_", frozen=True, extra="ignore", hide_input_in_errors=True)
    database_url: SecretStr
    store_url: str
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    secret_key: Secret


class ClientSettings(BaseSettings):
    """Where the API is and who asks, for the commands that are its clients."""

    model_config = SettingsConfigDict(env_prefix="LETHE_", frozen=True, extra="ignore", hide_input_in_errors=True)
    api_url: str = "http://127.0.0.1:8000"
    api_key: SecretStr | None = None
