"""What estimates are made from: sizes of base models, workloads of jobs, measurements, and the workers there are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns and the tables; of the models and jobs that exist nothing is known."""
    op.add_column("base_models", sa.Column("sizes", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("workload", sa.JSON(), nullable=True))
    op.create_table(
        "measurements",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("device_name", sa.String(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("measurement", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_measurements"),
    )
    op.create_index("ix_measurements_device_name_measured_at", "measurements", ["device_name", "measured_at"])
    op.create_index("ix_measurements_weights_sha256_measured_at", "measurements", ["weights_sha256", "measured_at"])
    op.create_table(
        "workers",
        sa.Column("owner", ID, nullable=False),
        sa.Column("device", sa.JSON(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_workers"),
    )
