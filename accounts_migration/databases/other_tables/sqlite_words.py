"""What the text of a SQLite table's schema says that no pragma tells.

Here: the names of constraints, when foreign keys are checked, and the clauses that no copy carries, found by patterns
in a text without comments and string literals. Not here: what the pragmas tell (`sqlite_origin`).
"""

import re
from collections.abc import Iterator

_QUOTED = r""""(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]"""
_SEEN_THROUGH = re.compile(rf"({_QUOTED})|'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAME = re.compile(rf"{_QUOTED}|[\w$]+")
_NAMES = rf"\(\s*((?:{_NAME.pattern})(?:[\s,]+(?:{_NAME.pattern}))*)\s*\)"
_CONSTRAINT = re.compile(
    rf"\bCONSTRAINT\s+({_NAME.pattern})\s+(PRIMARY\s+KEY|UNIQUE|FOREIGN\s+KEY)\s*{_NAMES}", re.IGNORECASE
)
_REFERENCE = re.compile(
    rf"(?P<whole>(?:\bCONSTRAINT\s+(?P<name>{_NAME.pattern})\s+(?:FOREIGN\s+KEY\s*{_NAMES}\s*)?)?\bREFERENCES\b)"
    rf"|{_QUOTED}",
    re.IGNORECASE,
)
_DEFERRAL = re.compile(
    r"(?P<never>\bNOT\s+)?\bDEFERRABLE\b(?:\s+INITIALLY\s+(?P<when>DEFERRED|IMMEDIATE))?", re.IGNORECASE
)
_CLAUSES = {
    "collation": re.compile(r"""\bCOLLATE\s+["'`\[]?(?!BINARY\b)\w+""", re.IGNORECASE),
    "conflict clause": re.compile(r"\bON\s+CONFLICT\s+(?!ABORT\b)\w+", re.IGNORECASE),
    "check": re.compile(r"\bCHECK\s*\(", re.IGNORECASE),
}


def without_literals(text: str) -> str:
    """Return a schema's text without string literals and comments, in which anything may stand."""
    return _SEEN_THROUGH.sub(lambda found: found[1] or " ", text)


def clauses_in(text: str) -> Iterator[tuple[str, int]]:
    """Yield `collation`, `conflict clause` and `check`, each with how often it stands there, where it does."""
    for kind, pattern in _CLAUSES.items():
        times = len(pattern.findall(text))
        if times:
            yield kind, times


def names_of_constraints(text: str) -> Iterator[tuple[tuple[str, tuple[str, ...]], str]]:
    """Yield ((kind, columns), name) of the constraints that a table's schema names in brackets, too."""
    for name, kind, columns in _CONSTRAINT.findall(text):
        yield (" ".join(kind.upper().split()), tuple(map(_unquoted, _NAME.findall(columns)))), _unquoted(name)


def words_of_references(text: str) -> list[tuple[str | None, str]]:
    """Return the name and the deferral, as SQL, of each foreign key in the order in which a schema declares them."""
    # a quoted name may hold the word, too
    starts = [found for found in _REFERENCE.finditer(text) if found["whole"]]
    words = []
    ends = [*(following.start() for following in starts[1:]), len(text)]
    for start, end in zip(starts, ends[: len(starts)], strict=True):
        deferral = _DEFERRAL.search(text, start.end(), end)
        said = ""
        if deferral and not deferral["never"]:
            said = "DEFERRABLE" + (f" INITIALLY {deferral['when'].upper()}" if deferral["when"] else "")
        words.append((_unquoted(start["name"]) if start["name"] else None, said))
    return words


def _unquoted(name: str) -> str:
    quote = name[0]
    if quote == "[":
        return name[1:-1]
    return name[1:-1].replace(quote * 2, quote) if quote in '"`' else name
