"""Reads text files that users may have written, damaged or cut off.

Every fault is a ConfigurationError that names the file and, where there is one, the line. Files are read up to a
limit, so that what is far too large to be meant takes no memory.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

from compressors.naming import shortened
from hvd_qgenx.errors import ConfigurationError

MEBIBYTE = 1 << 20
DOCUMENT, SETTINGS, TABLE = 8 * MEBIBYTE, MEBIBYTE // 8, 256 * MEBIBYTE
"""The most bytes of a document, of a file of settings (TOML, which takes long to parse), and of a table."""
ROW = MEBIBYTE
"""The most bytes of a row of a table."""
PARTS = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){200}""")
"""A dotted key of TOML with so many parts that parsing it, in time quadratic in their number, would take long."""
DIGITS = re.compile(r"[\d_]{4301}")
"""More digits than Python converts to a number."""


@contextmanager
def naming(path: Traversable | str) -> Iterator[None]:
    """Puts the name of a file before the sentence of a ConfigurationError."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


@contextmanager
def unusable(name: str, remedy: str) -> Iterator[None]:
    """Turns what is raised for a value in a file that nobody has checked into a sentence.

    Args:
        name: of the file, or of a part of it.
        remedy: what can be wrong, or done.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = shortened(f"{type(error).__name__}: {error}".splitlines()[0])
        raise ConfigurationError(f"{name} cannot be used ({words}); {remedy}") from error


def read_text(path: Traversable, limit: int = DOCUMENT) -> str:
    """Returns the text of a file.

    Raises:
        ConfigurationError: it cannot be read, is larger than ``limit`` bytes, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path), limit)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def read_stream(file: IO[bytes], name: str, limit: int = DOCUMENT) -> str:
    """Returns the text of an open file; raises as ``read_text`` does."""
    try:
        data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigurationError(_too_large(name, limit))
    return _decoded(data, name, 1)


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a table with their line ends, one after the other; the last may lack its end.

    Raises:
        ConfigurationError: the file cannot be read, is larger than ``TABLE`` bytes, or is not UTF-8.
    """
    room = TABLE
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(ROW + 1), b""), 1):
                room -= len(line)
                if room < 0:
                    raise ConfigurationError(_too_large(str(path), TABLE))
                if len(line) > ROW:
                    raise in_line(path, number, f"has more than {ROW >> 20} MiB")
                yield _decoded(line, str(path), number)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Returns the value in a JSON file.

    Raises:
        ConfigurationError: it cannot be read, or is not JSON.
    """
    text = read_text(path)
    with _parsing(str(path), text):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise in_line(path, error.lineno, f"is not JSON ({error.msg})") from error


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Returns the tables of a TOML text.

    Raises:
        ConfigurationError: it is not TOML.
    """
    if long := PARTS.search(text):
        raise in_line(name, line_of(text, long.start()), "has a key of too many parts")
    with _parsing(name, text):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            end = f"at line {line_of(text, len(text))}, the end"
            where = shortened(str(error).replace("at end of document", end))
            raise ConfigurationError(f"{name} is not TOML: {where}") from error


def in_line(name: Traversable | str, number: int, fault: str) -> ConfigurationError:
    """Returns the error for a faulty line of a file, numbered from 1."""
    return ConfigurationError(f"{name} cannot be read: line {number} {fault}")


def line_of(text: str, position: int) -> int:
    """Returns the number, from 1, of the line that holds a position."""
    return text.count("\n", 0, position) + 1


def line_of_key(text: str, key: str, table: str = "") -> int | None:
    """Returns the number of the line of TOML in which a key of a table is; None if it is written in another way."""
    inside = not table
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            inside = line.strip().startswith(f"[{table}]")
        elif inside and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return None


@contextmanager
def _parsing(name: str, text: str) -> Iterator[None]:
    """Turns what every parser raises for numbers of thousands of digits, and for deep nesting, into sentences."""
    try:
        yield
    except ConfigurationError:
        raise
    except ValueError as error:
        if long := DIGITS.search(text):
            raise in_line(name, line_of(text, long.start()), "has a number of thousands of digits") from error
        raise ConfigurationError(f"{name} cannot be read: {shortened(str(error))}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{name} cannot be read: its values are nested too deeply") from error


def _decoded(data: bytes, name: str, first: int) -> str:
    """Returns bytes, whose first line has the number ``first``, as text."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise in_line(name, first + data.count(b"\n", 0, error.start), "is not UTF-8 text") from error


def _too_large(name: str, limit: int) -> str:
    size = f"{limit >> 20} MiB" if limit >= MEBIBYTE else f"{limit >> 10} KiB"
    return f"{name} cannot be read: it has more than {size}, far more than was meant to be there"
