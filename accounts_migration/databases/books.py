"""Which books a load is recorded in: those of migrations, or those of copies from platform to platform.

Here: the names of the tables. Not here: their columns (`target_schema`), what is written into them (`bookkeeping`).

Both families have the same columns. A migration knows the rows that migrations loaded, a copy those that copies loaded;
to each, whatever else stands in a table of an entity is a row that it did not write.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Books:
    """A family of bookkeeping tables; `deed` is what they record, `verb` what one does then."""

    deed: str
    verb: str

    @property
    def snapshot(self) -> str:
        """The table of the sources that rows came from."""
        return f"{self.deed}_snapshot"

    @property
    def batch(self) -> str:
        """The table of the loaded batches."""
        return f"{self.deed}_batch"

    @property
    def batch_row(self) -> str:
        """The table of the rows whose date does not tell their batch."""
        return f"{self.deed}_batch_row"

    @property
    def defect(self) -> str:
        """The table of the rows that were rejected, excluded or repaired."""
        return f"{self.deed}_defect"

    @property
    def tables(self) -> tuple[str, ...]:
        """All of them."""
        return (self.snapshot, self.batch, self.batch_row, self.defect)


MIGRATION = Books("migration", "migrate")
COPY = Books("copy", "copy")
FAMILIES = {books.deed: books for books in (MIGRATION, COPY)}
