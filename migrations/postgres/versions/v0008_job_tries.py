"""The tries of a job, outages apart."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE scheduled_jobs ADD COLUMN tries integer NOT NULL DEFAULT 0")
