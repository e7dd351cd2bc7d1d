"""Any table of a database, carried between SQLite and PostgreSQL in either direction.

Here: the way in: what a copy will do (`take_inventory`), one table (`copy_table`), what comes after all of them
(`finish`), and the proof (`compare`). How values of each kind arrive stands in `forms`. Not here: the tables of the
Account Processing System and our books (`accounts_migration.databases.target_schema`), which their caller copies.
"""

from accounts_migration.databases.other_tables.comparing import RowDiffers, TableCompared, compare
from accounts_migration.databases.other_tables.copying import TableCopied, copy_table
from accounts_migration.databases.other_tables.finishing import finish
from accounts_migration.databases.other_tables.following import lost_parents
from accounts_migration.databases.other_tables.inventory import take_inventory
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.records import refuse_tables_of_others
from accounts_migration.databases.other_tables.rows import LostParents
from accounts_migration.databases.other_tables.standing import stands_as_brought
from accounts_migration.databases.other_tables.structure import Inventory, NotCarried, OtherTable

__all__ = [
    "Inventory",
    "LostParents",
    "NotCarried",
    "Origin",
    "OtherTable",
    "RowDiffers",
    "TableCompared",
    "TableCopied",
    "compare",
    "copy_table",
    "finish",
    "lost_parents",
    "refuse_tables_of_others",
    "stands_as_brought",
    "take_inventory",
]
