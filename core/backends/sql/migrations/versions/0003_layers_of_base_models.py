"""What a base model has that options may name: its decoder layers and its linear layers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of the models that exist neither is known."""
    op.add_column("base_models", sa.Column("num_layers", sa.Integer(), nullable=True))
    op.add_column("base_models", sa.Column("linear_names", sa.JSON(), nullable=False, server_default="[]"))
