"""What lists and estimates look for is found by an index alone, however many rows there are."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take method and policy out of the measurements that exist, and add the columns that lists filter by to indexes."""
    op.add_column("measurements", sa.Column("method", sa.String(), nullable=False, server_default=""))
    op.add_column("measurements", sa.Column("policy", sa.String(), nullable=False, server_default=""))
    _fill()
    op.create_index(
        "ix_measurements_alike", "measurements", ["weights_sha256", "device_name", "method", "policy", "measured_at"]
    )
    op.create_index(
        "ix_measurements_weights_sha256_device_name_measured_at",
        "measurements",
        ["weights_sha256", "device_name", "measured_at"],
    )
    op.create_index("ix_jobs_tenant_kind_state_created_at_id", "jobs", ["tenant", "kind", "state", "created_at", "id"])
    op.drop_index("ix_jobs_tenant_external_id", table_name="jobs")
    op.create_index(
        "ix_jobs_tenant_kind_external_id_created_at_id", "jobs", ["tenant", "kind", "external_id", "created_at", "id"]
    )
    op.drop_index("ix_deletion_requests_tenant_external_id", table_name="deletion_requests")
    op.create_index(
        "ix_deletion_requests_tenant_external_id_created_at_id",
        "deletion_requests",
        ["tenant", "external_id", "created_at", "id"],
    )


def _fill() -> None:
    names = ("number", "method", "policy")
    table = sa.table("measurements", *map(sa.column, names), sa.column("measurement", sa.JSON()))
    connection = op.get_bind()
    found = [
        {"row": row.number, "its_method": row.measurement["workload"]["method"], "its_policy": row.measurement["workload"]["policy"]}
        for row in connection.execute(sa.select(table.c.number, table.c.measurement))
    ]
    filled = sa.update(table).where(table.c.number == sa.bindparam("row"))
    if found:
        connection.execute(filled.values(method=sa.bindparam("its_method"), policy=sa.bindparam("its_policy")), found)
