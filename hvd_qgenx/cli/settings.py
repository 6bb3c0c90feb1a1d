"""Options of the command line from the declarations of settings."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from hvd_qgenx.cli.options import number
from hvd_qgenx.training.config import RUN, Config
from hvd_qgenx.training.settings import Declared, compressor_parameters, declared

FIRST, LAST = "Settings from elsewhere", "Other"
"""Headings above and below those of the task."""


class SectionedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, section: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


def option(flags: str | tuple[str, str], help: str, section: str, **settings: Any) -> Callable[[Any], Any]:
    """An option under a heading: its flag, or flag and name; the other arguments are those of ``click.option``."""
    words = (flags,) if isinstance(flags, str) else flags
    return click.option(*words, cls=SectionedOption, section=section, help=help, **settings)


def setting_options(task: type[Config]) -> Iterator[Callable[[Any], Any]]:
    """An option for every setting of a task and every parameter of a compressor."""
    for each in declared(task).values():
        yield _option(each)
        if each.name == "compressor":
            yield from map(_parameter_option, compressor_parameters().values())


def _option(setting: Declared) -> Callable[[Any], Any]:
    """An option of a setting; one that is true or false has a flag for each."""
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


def _parameter_option(parameter: Declared) -> Callable[[Any], Any]:
    """An option of a parameter, whose default is that of the compressor that is chosen."""
    text = f"{parameter.declaration.help}  [default: {parameter.shown_default}]"
    kind = number if parameter.kind is float else parameter.kind
    flag = f"--{parameter.name.replace('_', '-')}"
    return option((flag, parameter.name), text, parameter.declaration.section, type=kind)


class TaskCommand(click.Command):
    """A command whose help has its options under headings, and that knows the settings of other tasks."""

    def __init__(self, *args: Any, task: type[Config], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.task = task

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in (FIRST, *self.task.sections, LAST)}
        for parameter in self.get_params(ctx):
            section = LAST if parameter.name == "help" else getattr(parameter, "section", RUN)
            if record := parameter.get_help_record(ctx):
                found[section].append(record)
        for heading, records in ((heading, records) for heading, records in found.items() if records):
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-").removeprefix("no-").replace("-", "_")
            if any(name in declared(config) for config in self.task.tasks.values()):
                raise click.UsageError(self.task.unknown_setting(name), ctx) from error
            raise
