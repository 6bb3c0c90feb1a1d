"""Plugins on the command line: options that every command takes in any place, and the commands of plugins' tasks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hvd_qgenx import plugins
from hvd_qgenx.cli.lazy import Entry, LazyGroup
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.plugins import CHANGED, OPTION

EPILOG = f"{OPTION} MODULE, which every command takes, adds parts of your own: see hvd-qgenx --help."


class Refused(click.ClickException):
    """Ends a command that cannot begin, with a sentence and exit code 2."""

    exit_code = 2


@contextmanager
def refusals() -> Iterator[None]:
    """Turns a ConfigurationError, as plugins raise, into the end of the program."""
    try:
        yield
    except ConfigurationError as error:
        raise Refused(str(error)) from error


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words of a command line that name plugins, and the others; those after ``--`` are others.

    Raises:
        click.UsageError: the last word would need another after it.
    """
    own: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == OPTION:
            value = next(rest, None)
            if value is None:
                raise click.BadOptionUsage(OPTION, f"Option {OPTION!r} requires an argument.")
            own += [word, value]
        elif word == CHANGED or word.startswith(f"{OPTION}="):
            own.append(word)
        elif word == "--":
            others += [word, *rest]
        else:
            others.append(word)
    return own, others


def plugin_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name plugins; modules are imported before any command is looked for."""
    for option in (
        click.option(
            CHANGED,
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Take runs that other versions of their plugins have made.",
        ),
        click.option(
            OPTION,
            "modules",
            metavar="MODULE",
            multiple=True,
            is_eager=True,
            expose_value=False,
            callback=_load,
            help="Import this module first, which registers compressors, models, losses, tasks, games or topologies of "
            "your own; repeatable. Installed packages with such parts need no option. It may stand anywhere, as in: "
            f"hvd-qgenx gan {OPTION} my.module --compressor mine",
        ),
    ):
        function = option(function)
    return function


def _load(context: click.Context, _: click.Parameter, modules: Sequence[str]) -> None:
    with refusals():
        plugins.prepare(modules, accept_changes=context.meta.get(CHANGED, False))


class PluginGroup(LazyGroup):
    """Moves the options that name plugins to its front, and has the tasks of plugins among its commands."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        with refusals():
            return super().make_context(*args, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, others = split(args)
        ctx.meta[CHANGED] = CHANGED in own
        return super().parse_args(ctx, [*own, *others])

    def invoke(self, ctx: click.Context) -> Any:
        with refusals():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._tasks()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self._tasks():
            command = _task_command(cmd_name)
        if command is not None:
            command.epilog = EPILOG
        return command

    def summaries(self) -> dict[str, str]:
        return super().summaries() | {name: entry.summary for name, entry in self._tasks().items()}

    def _tasks(self) -> dict[str, Entry]:
        """Returns the tasks of plugins."""
        from hvd_qgenx.tasks.registry import TASKS

        origins = {name: TASKS.origin(name) for name in TASKS if name not in self.entries}
        return {name: Entry("", f"Train: a task of {plugin.name}.") for name, plugin in origins.items() if plugin}


def _task_command(name: str) -> click.Command:
    """Makes the command of a plugin's task, whose help is the docstring of its configuration."""
    from hvd_qgenx.cli.training import training_command
    from hvd_qgenx.tasks.registry import TASKS

    task = TASKS[name]
    if task.task != name:
        raise ConfigurationError(f"the task {name!r} of a plugin calls itself {task.task!r}; give both one name")

    def command() -> None: ...

    command.__doc__, command.__name__ = task.__doc__, name
    return training_command(task)(command)
