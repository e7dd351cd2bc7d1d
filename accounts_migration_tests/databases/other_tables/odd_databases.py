"""SQLite databases with what such databases hold: look-alikes of well-known samples, and everything odd.

Here: scripts, and for each what does not come back from PostgreSQL as it was. Not here: what is asserted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Cell = tuple[str, object]


def as_text(cell: Cell) -> Cell:
    """Return what a number or text is where its column became text."""
    kind, value = cell
    if kind == "null":
        return cell
    if kind == "blob" and isinstance(value, bytes):
        return ("text", b"\\x" + value.hex().encode())
    return ("text", value if isinstance(value, bytes) else repr(value).encode())


def as_real(cell: Cell) -> Cell:
    """Return what a number is where its column became double precision."""
    return ("real", float(str(cell[1]))) if cell[0] == "integer" else cell


def as_integer(cell: Cell) -> Cell:
    """Return what a whole number is where its column became numeric."""
    return ("integer", int(cell[1])) if isinstance(cell[1], float) and cell[1].is_integer() else cell


@dataclass(frozen=True)
class OddDatabase:
    """A script, and `table.column` -> what each cell is after it was carried to PostgreSQL and back."""

    script: str
    changed: Mapping[str, Callable[[Cell], Cell]] = field(default_factory=dict)

    def returned(self, column: str, cell: Cell) -> Cell:
        """Return what a cell is after it was carried to PostgreSQL and back."""
        change = self.changed.get(column)
        return cell if change is None else change(cell)


CHINOOK = """
CREATE TABLE [Artist] ([ArtistId] INTEGER NOT NULL, [Name] NVARCHAR(120), CONSTRAINT [PK_Artist] PRIMARY KEY ([ArtistId]));
CREATE TABLE [Album] (
    [AlbumId] INTEGER NOT NULL, [Title] NVARCHAR(160) NOT NULL, [ArtistId] INTEGER NOT NULL,
    CONSTRAINT [PK_Album] PRIMARY KEY ([AlbumId]),
    FOREIGN KEY ([ArtistId]) REFERENCES [Artist] ([ArtistId]) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX [IFK_AlbumArtistId] ON [Album] ([ArtistId]);
CREATE TABLE [Employee] (
    [EmployeeId] INTEGER NOT NULL PRIMARY KEY, [LastName] NVARCHAR(20) NOT NULL, [ReportsTo] INTEGER,
    [BirthDate] DATETIME, FOREIGN KEY ([ReportsTo]) REFERENCES [Employee] ([EmployeeId])
);
CREATE TABLE [Invoice] (
    [InvoiceId] INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, [InvoiceDate] DATETIME NOT NULL,
    [BillingCity] NVARCHAR(40), [Total] NUMERIC(10,2) NOT NULL
);
CREATE TABLE [PlaylistTrack] (
    [PlaylistId] INTEGER NOT NULL, [TrackId] INTEGER NOT NULL,
    CONSTRAINT [PK_PlaylistTrack] PRIMARY KEY ([PlaylistId], [TrackId])
);
CREATE UNIQUE INDEX [IPK_PlaylistTrack] ON [PlaylistTrack]([PlaylistId], [TrackId]);
CREATE TABLE [Track] ([TrackId] INTEGER PRIMARY KEY, [Milliseconds] INTEGER NOT NULL, [UnitPrice] NUMERIC(10,2));
INSERT INTO Artist VALUES (1, 'AC/DC'), (2, 'Antônio Carlos Jobim'), (3, '');
INSERT INTO Album VALUES (1, 'For Those About To Rock', 1), (4, 'Let There Be Rock', 1);
INSERT INTO Employee VALUES (1, 'Adams', NULL, '1962-02-18 00:00:00'), (2, 'Edwards', 1, '1958-12-08 00:00:00');
INSERT INTO Invoice VALUES (1, '2009-01-01 00:00:00', 'Stuttgart', 1.98), (412, '2013-12-22 00:00:00', NULL, 25.86), (5, '2009-01-11 00:00:00', 'Boston', 9);
DELETE FROM Invoice WHERE InvoiceId = 412;
INSERT INTO PlaylistTrack VALUES (1, 3402), (1, 3389), (2, 1);
INSERT INTO Track VALUES (1, 343719, 0.99), (2, 2147483648, 1);
"""  # noqa: E501  # as the sample writes it

NORTHWIND = """
CREATE TABLE Categories (CategoryID INTEGER PRIMARY KEY AUTOINCREMENT, CategoryName TEXT, Description TEXT, Picture BLOB);
CREATE TABLE Customers (CustomerID TEXT, CompanyName TEXT, PRIMARY KEY (CustomerID));
CREATE TABLE Employees (
    EmployeeID INTEGER PRIMARY KEY AUTOINCREMENT, LastName TEXT, HireDate DATE, Photo BLOB, ReportsTo INTEGER,
    FOREIGN KEY (ReportsTo) REFERENCES Employees (EmployeeID) ON DELETE NO ACTION
);
CREATE TABLE Orders (
    OrderID INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, CustomerID TEXT, OrderDate DATETIME, ShippedDate DATETIME,
    Freight NUMERIC DEFAULT 0, FOREIGN KEY (CustomerID) REFERENCES Customers
);
CREATE TABLE "Order Details" (
    OrderID INTEGER NOT NULL, ProductID INTEGER NOT NULL, UnitPrice NUMERIC NOT NULL DEFAULT 0,
    Quantity INTEGER NOT NULL DEFAULT 1, Discount REAL NOT NULL DEFAULT 0,
    PRIMARY KEY ("OrderID", "ProductID"), CHECK ([Discount] >= (0) AND [Discount] <= (1)),
    FOREIGN KEY (OrderID) REFERENCES Orders (OrderID) ON DELETE CASCADE ON UPDATE SET NULL
);
CREATE TABLE Products (ProductID INTEGER PRIMARY KEY, ProductName TEXT NOT NULL, Discontinued TEXT DEFAULT '0', UnitsInStock INTEGER DEFAULT 0, Imported BOOLEAN NOT NULL DEFAULT FALSE);
CREATE VIEW [Alphabetical list of products] AS SELECT * FROM Products;
CREATE VIEW "Order Subtotals" AS SELECT OrderID, sum(UnitPrice * Quantity) AS Subtotal FROM "Order Details" GROUP BY OrderID;
CREATE TRIGGER stock AFTER INSERT ON "Order Details" BEGIN UPDATE Products SET UnitsInStock = UnitsInStock - 1; END;
INSERT INTO Categories VALUES (1, 'Beverages', 'Soft drinks, coffees', x'FFD8FFE000104A46'), (2, 'Condiments', '', x''), (3, NULL, NULL, NULL);
INSERT INTO Customers VALUES ('ALFKI', 'Alfreds Futterkiste'), ('FISSA', 'FISSA Fabrica Inter. Salchichas S.A.');
INSERT INTO Employees VALUES (1, 'Davolio', '1992-05-01', x'00', 2), (2, 'Fuller', '1992-08-14', NULL, NULL), (5, 'Buchanan', '1993-10-17', x'0000', 2);
INSERT INTO Orders VALUES (10248, 'ALFKI', '1996-07-04', '1996-07-16 00:00:00', 32.38), (10249, NULL, '1996-07-05', '1996-07-10', 11.61), (10250, 'FISSA', '1996-07-08', NULL, 66);
INSERT INTO "Order Details" VALUES (10248, 11, 14, 12, 0.0), (10248, 42, 9.8, 10, 0.15), (10250, 11, 7.7, 10, 0.05);
INSERT INTO Products VALUES (1, 'Chai', '0', 39, 1), (5, 'Chef Anton''s Gumbo Mix', '1', 0, 0);
"""  # noqa: E501  # as the sample writes it

NAMES = f"""
CREATE TABLE "select" ("order" INTEGER PRIMARY KEY, "100%" TEXT, "a""b" TEXT, "MiXed Case" TEXT, "ctid" TEXT, "{{0}}" TEXT, "$1" TEXT);
INSERT INTO "select" VALUES (1, '%s', '"', '''', '{{}}', '\\x', NULL);
CREATE TABLE "O'Brien's %s ""x"" NOT INDEXED" ("" TEXT, " " INTEGER);
INSERT INTO "O'Brien's %s ""x"" NOT INDEXED" VALUES ('a', -9223372036854775808), (NULL, NULL), ('', 9223372036854775807);
CREATE TABLE {"t" * 70}1 (x INTEGER PRIMARY KEY, {"c" * 70}1 INT, {"c" * 70}2 INT UNIQUE, {"é" * 40} TEXT);
INSERT INTO {"t" * 70}1 VALUES (1, 2, 3, 'e');
CREATE TABLE {"t" * 70}2 (x REFERENCES {"t" * 70}1);
INSERT INTO {"t" * 70}2 VALUES (1);
CREATE TABLE account_customer_id (a INT);
CREATE INDEX "we ird%" ON "select" ("100%", "a""b" DESC);
"""  # noqa: E501, S608  # our own names

STORAGE_CLASSES = """
CREATE TABLE odd (a INTEGER, b STRING, c, d "FANCY TYPE(3)", e "double precision", f);
INSERT INTO odd VALUES (1, 'x', 1.5, 'y', 1e300, x'ff'), ('abc', 5, 2, 'z', 0.1, 't'), (NULL, '', 'x', '', -1e-300, 3);
CREATE TABLE numbers (a NUMERIC(5,2), b DECIMAL, c NUMERIC(10,2), d INT, e MONEY, f REAL, g NUMERIC, i, j INT, k FLOAT);
INSERT INTO numbers VALUES (123456.789, 0.1, 1.005, 1.5, 19.99, 1e999, 1e-7, 5.0, 9223372036854775807, 3);
INSERT INTO numbers VALUES (1, 5, 2, 2, 3, -1e999, 3, 5, -1, 1e15), (-0.01, -1.25, 3.5, 1e3, -0.01, 2.5, 1e20, 1.5, 0, 0);
INSERT INTO numbers (g) VALUES (0.30000000000000004);
CREATE TABLE moments (a DATETIME, b DATE, c DATETIME, d TIMESTAMP, e DATE, f DATETIME, g DATE, h TIME);
INSERT INTO moments VALUES (1262304000, '2020-01-01 00:00:00', '2020-01-01', '2020-01-01T00:00:00', '2020-02-30', '2020-01-01 10:11:12.500000', '9999-12-31', '10:11');
INSERT INTO moments VALUES (1262304001, '2020-01-02', NULL, '2020-01-01 00:00:00', '2020-13-01', '0001-01-01 00:00:00', '0001-01-01', '24:00:00');
INSERT INTO moments (f) VALUES ('2020-02-29 23:59:59');
CREATE TABLE booleans (a BOOLEAN, b BOOL, c BOOLEAN);
INSERT INTO booleans VALUES (1, 0, 2), (0, NULL, 1), (NULL, 1, NULL);
CREATE TABLE texts (a VARCHAR(3), b VARCHAR(3), c CHAR(5), d CLOB);
INSERT INTO texts VALUES ('abc', 'abcd', 'ab', ' x '), ('é€😀', '', '', char(10) || char(9)), (NULL, NULL, '     ', '');
CREATE TABLE pictures (name TEXT, picture BLOB);
INSERT INTO pictures VALUES ('a', zeroblob(100000)), ('b', x'00'), ('c', x''), ('d', NULL);
CREATE TABLE empty (a INT, b BOOL, c DECIMAL(5,2), d DATE, e TEXT UNIQUE, f BLOB, g, h FLOAT, i TIMESTAMP, j "");
CREATE TABLE strict_one (a INT, b ANY, c REAL, d TEXT, e BLOB) STRICT;
INSERT INTO strict_one VALUES (1, 'x', 1.0, 'y', x'00');
"""  # noqa: E501  # one row, one line

KEYS = """
CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER REFERENCES egg (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER REFERENCES HEN (ID) ON DELETE SET NULL);
INSERT INTO hen VALUES (1, 1), (2, 1);
INSERT INTO egg VALUES (1, 2), (9, NULL);
CREATE TABLE node (a TEXT, b INT, up_a TEXT, up_b INT, PRIMARY KEY (a, b), FOREIGN KEY (up_a, up_b) REFERENCES node (a, b));
INSERT INTO node VALUES ('x', 1, 'x', 2), ('x', 2, NULL, NULL), ('y', 1, 'x', NULL);
CREATE TABLE pair (k TEXT NOT NULL, n INTEGER NOT NULL, v TEXT, PRIMARY KEY (n, k)) WITHOUT ROWID;
INSERT INTO pair VALUES ('b', 1, 'x'), ('a', 1, NULL), ('a', 0, '');
CREATE TABLE nullable (k TEXT PRIMARY KEY, v);
INSERT INTO nullable VALUES (NULL, 1), (NULL, 2), ('a', 3);
CREATE TABLE word (text_key TEXT PRIMARY KEY);
CREATE TABLE uses (word INT REFERENCES word, gone TEXT REFERENCES word, none REFERENCES word);
INSERT INTO word VALUES ('1'), ('2');
INSERT INTO uses VALUES (1, '3', NULL), (2, NULL, NULL), (7, '1', NULL);
CREATE TABLE down (id INTEGER PRIMARY KEY DESC, x UNIQUE);
INSERT INTO down VALUES (5, 'a'), (-7, 'b');
CREATE TABLE negative (id INTEGER PRIMARY KEY);
INSERT INTO negative VALUES (-5), (-9);
CREATE TABLE last (id INTEGER PRIMARY KEY);
INSERT INTO last VALUES (9223372036854775807);
CREATE TABLE covered (x TEXT);
CREATE INDEX covered_x ON covered (x);
INSERT INTO covered VALUES ('b'), ('a'), ('c'), ('a');
"""  # noqa: E501  # one statement, one line

ODD_DATABASES = {
    "chinook": OddDatabase(CHINOOK),
    "northwind": OddDatabase(NORTHWIND),
    "names": OddDatabase(NAMES),
    "storage classes": OddDatabase(
        STORAGE_CLASSES,
        {
            **dict.fromkeys(("odd.a", "odd.b", "odd.c", "odd.f"), as_text),
            "numbers.g": as_real,
            "numbers.i": as_integer,
        },
    ),
    "keys": OddDatabase(KEYS, {"uses.word": as_text}),
    "nothing but a view": OddDatabase("CREATE VIEW only AS SELECT 1;"),
}
