"""Copying an Account Processing System to another database: what is proved of it besides the four entities' rows.

Here: the bookkeeping that comes along. Not here: assets (`accounts_migration.assets.platform`), reading and writing
databases (`accounts_migration.databases`), and what a correct row is (`accounts_migration.entities.platform`).
"""
