"""The one error a person at the keyboard is meant to read.

Here: what failed, why, and what to do next. Not here: faults of a *row*, which are defects
(`accounts_migration.entities.defects`), never exceptions.
"""


class MigrationError(Exception):
    """A refusal or a failure that its reader can act on.

    Args:
        what: What could not be done, naming the database, table or batch.
        why: The cause, without personal data and without passwords.
        remedy: What to do next.
    """

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        """Keep the three parts; the message is all of them in one line."""
        super().__init__(f"{what}: {why}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy


class UsageError(MigrationError):
    """Wrong usage or configuration; the command line ends with exit status 2 instead of 1."""


def refused_by_system(error: OSError) -> MigrationError:
    """Return what the system refused where nobody knew more about it: which file or folder, and why."""
    return MigrationError(
        "The command failed" if error.filename is None else f"Cannot use {error.filename}",
        why=error.strerror or str(error),
        remedy="Look at the disk, and at the rights of this user to it and to the folders above it; then run again",
    )
