"""Tables of a run: CSV files whose rows begin with the update, and of which an interruption may cut off the last."""

import math
from collections.abc import Iterator
from pathlib import Path

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import in_line, read_lines

FIRST = "update"
"""The name of the first column."""
REMEDY = "; repair it, or remove it"


def header(path: Path) -> str:
    """Returns the first line of a table, with its line end.

    Raises:
        ConfigurationError: it cannot be read, or names no column ``FIRST``.
    """
    line = next(read_lines(path), "")
    if not line.endswith("\n") or line.strip().split(",")[0] != FIRST:
        raise no_header(path)
    return line


def rows(path: Path) -> Iterator[tuple[float, str]]:
    """Yields the complete rows of a table after its header: the update, and the line with its line end.

    Raises:
        ConfigurationError: the file cannot be read, or a row begins with no number; names the line.
    """
    for number, line in enumerate(read_lines(path), 1):
        if number > 1 and line.endswith("\n"):
            try:
                update = float(line.split(",", 1)[0])
            except ValueError:
                update = math.nan
            if not math.isfinite(update):
                raise in_line(path, number, f"does not begin with the number of an update{REMEDY}")
            yield update, line


def no_header(path: Path) -> ConfigurationError:
    """Returns the error for a table whose first line is another."""
    return in_line(path, 1, f"does not name the columns, the first of them {FIRST}{REMEDY}")


def check(path: Path) -> None:
    """Reads a table, if there is one; raises as ``header`` and ``rows`` do."""
    if path.exists() and path.stat().st_size:
        header(path)
        for _ in rows(path):
            pass
