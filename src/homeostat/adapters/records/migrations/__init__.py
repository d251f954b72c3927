"""Alembic migrations, run when the records database is opened."""
