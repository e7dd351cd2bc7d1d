"""The versions of the target's schema, which Alembic manages: what they are, changing them, comparing tables with them.

This folder is Alembic's environment (`env`, and a file for each version in `versions`). It is driven from `changing`,
needs no alembic.ini, and writes SQL alone: the target's own session runs it, within one transaction, because only
ADBC's SQLite may touch a SQLite target. So a version says what it does in statements, and asks the database nothing.

A new version is a new file in `versions`, a line in `known`, and the change in `databases.target_schema`. In PostgreSQL
keys, checks, references and indexes of the entities' tables come after the load: a version that changes one of these
must hold on a target that has none yet, and on one that has all.
"""
