"""Records in a SQL database: SQLite by default, PostgreSQL by URL."""

from homeostat.adapters.records.database import DatabaseRecords

__all__ = ["DatabaseRecords"]
