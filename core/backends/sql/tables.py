from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, in UTC on every database: SQLite forgets the zone and PostgreSQL answers in the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC, because SQLite stores the clock face alone."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time its zone back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Ids order by their bytes everywhere: a cursor must not depend on the collation that a database was created with.
Id = String().with_variant(String(collation="C"), "postgresql")
Document = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    # Three that are also in the spec, and here for lists to filter by.
    Column("kind", String(16), nullable=False, server_default="unlearning"),
    Column("base_model", String, nullable=False),
    Column("external_id", String),
    Column("spec", Document, nullable=False),
    Column("workload", Document),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", String(16)),
    Column("progress", Document, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String),
    Column("lease_expires_at", UtcDateTime),
    Column("error", Document),
    Column("package", Document),
    Column("result", Document),
    Column("created_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("last_seq", Integer, nullable=False),  # of its events; the row lock that moves it keeps them gapless
    # In the order of lists. By a state or a name that no job has, they would else look at all jobs of the tenant.
    Index(None, "tenant", "kind", "created_at", "id"),
    Index(None, "tenant", "kind", "state", "created_at", "id"),
    Index(None, "tenant", "kind", "external_id", "created_at", "id"),
    Index(None, "state", "lease_expires_at"),
    Index(None, "state", "published_at"),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Document, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

deletion_requests = Table(
    "deletion_requests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("base_model", String, nullable=False),
    Column("external_id", String),
    Column("metadata", Document, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "tenant", "created_at", "id"),
    Index(None, "tenant", "external_id", "created_at", "id"),
    Index(None, "job_id"),
)

deletion_request_items = Table(
    "deletion_request_items",
    metadata,
    Column("request_id", Id, ForeignKey("deletion_requests.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_id", String, nullable=False),
    Column("disposition", String(16), nullable=False),
    UniqueConstraint("request_id", "item_id"),
)

base_models = Table(
    "base_models",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String, nullable=False),
    Column("revision", String),
    Column("weights_sha256", String(64), nullable=False),
    Column("architecture", String, nullable=False),
    Column("num_parameters", BigInteger, nullable=False),
    Column("num_layers", Integer),
    Column("linear_names", Document, nullable=False, server_default="[]"),
    Column("reference", Document),
    Column("sizes", Document),
    Column("max_tokens", Integer, nullable=False),
    Column("text_format", Document, nullable=False),
    Column("tokenizer_key", String, nullable=False),
    Column("retain_set_id", String),
    Column("holdout_set_id", String),
    Column("general_set_id", String),
    Column("num_retain_items", Integer, nullable=False),
    Column("num_holdout_items", Integer, nullable=False),
    Column("num_general_items", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What jobs took, for estimates. No job, no request and no tenant is named here.
measurements = Table(
    "measurements",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("weights_sha256", String(64), nullable=False),
    Column("device_name", String, nullable=False),
    # Two that are also in the measurement, and here to find it by.
    Column("method", String, nullable=False, server_default=""),
    Column("policy", String, nullable=False, server_default=""),
    Column("measured_at", UtcDateTime, nullable=False),
    Column("measurement", Document, nullable=False),
    Index("ix_measurements_alike", "weights_sha256", "device_name", "method", "policy", "measured_at"),
    Index(None, "weights_sha256", "device_name", "measured_at"),
    Index(None, "device_name", "measured_at"),
    Index(None, "weights_sha256", "measured_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("device", Document),
    Column("seen_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("secret_hmac", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

# The texts live here and nowhere else, so that one table can be encrypted, moved or emptied.
item_sets = Table(
    "item_sets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("kept", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("commitment", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "kept", "created_at"),
)
