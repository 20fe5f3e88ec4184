"""Probes: jobs of a second kind, with a name that their client gave them and a result of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the kind to the index that lists read; the jobs that exist are unlearning runs."""
    op.add_column("jobs", sa.Column("kind", sa.String(length=16), nullable=False, server_default="unlearning"))
    op.add_column("jobs", sa.Column("external_id", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("result", sa.JSON(), nullable=True))
    op.drop_index("ix_jobs_tenant_created_at_id", table_name="jobs")
    op.create_index("ix_jobs_tenant_kind_created_at_id", "jobs", ["tenant", "kind", "created_at", "id"])
    op.create_index("ix_jobs_tenant_external_id", "jobs", ["tenant", "external_id"])
