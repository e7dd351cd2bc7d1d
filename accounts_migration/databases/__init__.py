"""WHERE rows live: the legacy source, and one interface over SQLite and PostgreSQL. No Dagster, no business rule."""
