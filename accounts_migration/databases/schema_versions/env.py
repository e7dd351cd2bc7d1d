"""Alembic's environment: which engine the SQL is for. Not here: where it goes (`changing`)."""

from alembic import context

context.configure(
    dialect_name=context.config.attributes["engine"],
    # the other styles double every percent sign
    dialect_opts={"paramstyle": "named"},
    # the session that runs the statements begins and commits
    transactional_ddl=False,
)
context.run_migrations()
