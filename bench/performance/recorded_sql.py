"""The SQL of one request as it was handed to SQLAlchemy, and the same SQL again with other ids."""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable, event

from core.backends.sql.engine import READS_ONLY, reading

_NEW_ID = re.compile(r"(?:dr|job|set)_[0-9a-f]{24}")

Row = dict[str, Any]  # a parameter by its name


@dataclass(frozen=True)
class Transaction:
    """Statements that were sent between one BEGIN and its end, each with its parameters: none, one row or several."""

    reads_only: bool
    statements: list[tuple[Executable, list[Row]]] = field(default_factory=list)

    def repeat(self, engine: Engine, fresh: Mapping[str, str]) -> list[Row]:
        """Send it again with the ids replaced, and return the rows of its last query."""
        found: list[Row] = []
        with reading(engine) if self.reads_only else engine.begin() as connection:
            for statement, rows in self.statements:
                result = connection.execute(statement, [_with_fresh(row, fresh) for row in rows] or None)
                if result.returns_rows:
                    found = [dict(row) for row in result.mappings()]
        return found


@dataclass(frozen=True)
class Recorded:
    """The SQL of one GET of a job and of one POST of a deletion request, and what the latter was answered."""

    get: list[Transaction]
    post: list[Transaction]
    answer: dict[str, Any]

    def write(self, path: Path) -> None:
        """Store it for another process of this benchmark."""
        path.write_bytes(pickle.dumps(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what this benchmark stored."""
        found = pickle.loads(path.read_bytes())  # noqa: S301  # written a moment ago, in a directory of our own
        if not isinstance(found, cls):
            raise TypeError(f"{path} holds no recorded SQL")
        return found


def ids_in(transactions: Sequence[Transaction]) -> list[str]:
    """Return the ids of requests, jobs and item sets that were sent as parameters of their own, each once."""
    rows = (row for transaction in transactions for _, sent in transaction.statements for row in sent)
    return list(dict.fromkeys(value for row in rows for value in row.values() if _is_new_id(value)))


@contextmanager
def recording() -> Iterator[list[Transaction]]:
    """Yield a list that fills with what this process sends, on whatever engine, one transaction at a time."""
    transactions: list[Transaction] = []

    connections: list[Connection] = []  # of each transaction: our repositories open one for each

    def note(connection: Connection, statement: Executable, rows: list[Row], row: Row, _: object) -> None:
        if not connections or connection is not connections[-1]:
            connections.append(connection)
            transactions.append(Transaction(connection.get_execution_options().get(READS_ONLY, False)))
        transactions[-1].statements.append((statement, rows or ([row] if row else [])))

    event.listen(Engine, "before_execute", note)
    try:
        yield transactions
    finally:
        event.remove(Engine, "before_execute", note)


def _with_fresh(row: Row, fresh: Mapping[str, str]) -> Row:
    return {name: fresh.get(value, value) if isinstance(value, str) else value for name, value in row.items()}


def _is_new_id(value: object) -> bool:
    return isinstance(value, str) and _NEW_ID.fullmatch(value) is not None
