"""How a name and a text stand in SQL, alike in SQLite and PostgreSQL. Not here: statements."""


def quoted(identifier: str) -> str:
    """Return an SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
