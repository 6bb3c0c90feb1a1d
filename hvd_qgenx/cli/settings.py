"""Options of the command line from the declarations of settings."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from hvd_qgenx.cli.options import F, number
from hvd_qgenx.cli.sections import SectionedCommand, option
from hvd_qgenx.training.config import RUN, Config
from hvd_qgenx.training.settings import Declared, compressor_parameters, declared

FIRST = "Settings from elsewhere"
"""The heading above those of the task."""


def setting_options(task: type[Config]) -> Iterator[Callable[[Any], Any]]:
    """Yields an option for every setting of a task and every parameter of a compressor."""
    for each in declared(task).values():
        yield _option(each)
        if each.name == "compressor":
            for parameter in compressor_parameters().values():
                yield option(_flags(parameter), section=parameter.declaration.section, **_parameter(parameter))


def _option(setting: Declared) -> Callable[[Any], Any]:
    """Makes the option of a setting; a boolean setting has a flag for either value."""
    declaration, name = setting.declaration, setting.name.replace("_", "-")
    flags = f"--{name}/--no-{name}" if setting.kind is bool else f"--{name}"
    choices = f"One of {', '.join(declaration.choices)}. " if declaration.choices is not None else ""
    return option(
        (flags, setting.name),
        choices + declaration.help,
        declaration.section,
        type=setting.kind,
        default=setting.default,
        show_default=declaration.otherwise or setting.default not in ("", None),
        envvar=declaration.environment,
        show_envvar=True,
    )


def _flags(parameter: Declared) -> tuple[str, str]:
    return f"--{parameter.name.replace('_', '-')}", parameter.name


def _parameter(parameter: Declared) -> dict[str, Any]:
    """Returns type and help text of a parameter; its default is the compressor's."""
    kind, default = number if parameter.kind is float else parameter.kind, parameter.shown_default
    return {"type": kind, "help": parameter.declaration.help + (f"  [default: {default}]" if default else "")}


def compressor_options(function: F) -> F:
    """Adds an option for every parameter of a compressor, under no heading."""
    for parameter in reversed(compressor_parameters().values()):
        function = click.option(*_flags(parameter), **_parameter(parameter))(function)
    return function


def take_compressor_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Removes the parameters of compressors from ``values`` and returns the ones that were given."""
    taken = {name: values.pop(name) for name in compressor_parameters()}
    return {name: value for name, value in taken.items() if value is not None}


class TaskCommand(SectionedCommand):
    """A command that trains a task, and knows the settings of other tasks."""

    default_section = RUN

    def __init__(self, *args: Any, task: type[Config], **settings: Any) -> None:
        super().__init__(*args, sections=(FIRST, *task.sections), **settings)
        self.task = task

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-").removeprefix("no-").replace("-", "_")
            if any(name in declared(config) for config in self.task.tasks.values()):
                raise click.UsageError(self.task.unknown_setting(name), ctx) from error
            raise
