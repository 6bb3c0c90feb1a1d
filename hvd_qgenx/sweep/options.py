"""Options of a task's command in the tables of a sweep's file."""

from collections.abc import Mapping
from typing import Any

from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import line_of_key
from hvd_qgenx.training.asked import read
from hvd_qgenx.training.config import Config

OTHERS = {"preset": str, "download": bool, "label": str, "local_ranks": int}
"""Options of the training commands that are not settings, with their types."""
IN_WORDS = {str: "a string", bool: "true or false", int: "a whole number"}


def check(task: type[Config], table: Mapping[str, Any], where: str, text: str) -> None:
    """Checks the names and types of options.

    Args:
        task: whose options they are.
        table: options by name.
        where: the table's name in the file.
        text: the file.

    Raises:
        ConfigurationError: there is no such option, or its value is of another type; names table and line.
    """
    for name, value in table.items():
        try:
            _check(task, name, value)
        except ConfigurationError as error:
            number = line_of_key(text, name, where)
            raise ConfigurationError(f"{f'line {number}, ' if number else ''}[{where}]: {error}") from error


def _check(task: type[Config], name: str, value: Any) -> None:
    if name == "seed":
        raise ConfigurationError("seed is not an option of a mode; every mode runs with all `seeds`")
    kind = OTHERS.get(name)
    if kind is None:
        read(task, {name: value}, "sweep")
    elif type(value) is not kind:
        raise ConfigurationError(f"{name} must be {IN_WORDS[kind]}, not {shown(value)}")
