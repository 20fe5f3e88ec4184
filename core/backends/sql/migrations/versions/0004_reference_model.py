"""The reference model of a base model, which never saw what is to be forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the models that exist have none."""
    op.add_column("base_models", sa.Column("reference", sa.JSON(), nullable=True))
