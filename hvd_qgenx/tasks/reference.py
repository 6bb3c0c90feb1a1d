"""The settings of all tasks as a page of the documentation: ``python -m hvd_qgenx.tasks.reference``."""

import sys
from collections.abc import Iterator

from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training.config import COMPRESSION, Config
from hvd_qgenx.training.settings import Declared, compressor_parameters, declared

HEAD = """# Settings

`make docs` writes this page from the declarations, which the command line, its help, checks, presets, `--show-config`,
config.json, sweeps and reports read too. A setting is an option of the command (`batch_size` is `--batch-size`) and a
key of a [preset](presets.md).

*Resumed*: a run that goes on may change it. *Reports*: runs that differ in it are what a comparison is about
(studied), are hard to compare (outcome), or make the same updates and scores (neutral).
"""
COLUMNS = ("setting", "default", "values", "resumed", "reports", "meaning")


def page() -> str:
    """Returns the whole page, in Markdown."""
    return "\n".join([HEAD, *(line for task in TASKS.values() for line in _task(task))])


def _task(task: type[Config]) -> Iterator[str]:
    settings = declared(task).values()
    yield f"## hvd-qgenx {task.task}\n"
    for section in task.sections:
        rows = [each for each in settings if each.declaration.section == section]
        if section == COMPRESSION:
            rows += compressor_parameters().values()
        yield f"### {section}\n"
        yield from (f"| {' | '.join(cells)} |" for cells in (COLUMNS, ("---",) * len(COLUMNS)))
        yield from (f"| {' | '.join(_cells(each))} |" for each in rows)
        yield ""


def _cells(setting: Declared) -> tuple[str, ...]:
    declaration = setting.declaration
    default = setting.shown_default if setting.shown_default is not None else _default(setting)
    if declaration.choices is not None:
        values = ", ".join(f"`{name}`" for name in declaration.choices)
    else:
        kind = {int: "whole number", float: "number", str: "text", bool: "true or false"}[setting.kind]
        values = f"{kind}, {declaration.limits}" if declaration.limits else kind
    return (
        *(f"`{setting.name}`", default, values, "yes" if declaration.may_change else "", declaration.role.value),
        declaration.help,
    )


def _default(setting: Declared) -> str:
    if setting.name in compressor_parameters():
        return "the compressor's"
    return "none" if setting.default == "" else f"`{setting.default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
