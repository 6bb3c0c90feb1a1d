"""A group of commands that are imported when they are called."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from hvd_qgenx import signals
from hvd_qgenx.registry import load
from hvd_qgenx.transport.launcher import launcher_rank


class Entry(NamedTuple):
    """A command that may not have been imported yet."""

    place: str
    """``module:attribute``"""
    summary: str
    """One line for the group's help."""


class LazyGroup(click.Group):
    """Imports the module of a command when the command is called; the group's own help imports none."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **settings: Any) -> None:
        """
        Args:
            args: as of ``click.Group``, and so ``settings``.
            entries: the commands by name, in the order of the help.
        """
        super().__init__(*args, **settings)
        self.entries = entries

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Runs as a program, which a signal ends without a word once the command has ended."""
        try:
            return self.main(*args, **settings)
        finally:
            signals.end_at_once()

    def invoke(self, ctx: click.Context) -> Any:
        """Calls the command, which a signal ends in good order, whatever it is doing."""
        try:
            with signals.raised():
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            stopped = signals.as_stopped(interrupt)
            if launcher_rank() in (None, 0):
                click.echo(str(stopped), err=True)
            ctx.exit(stopped.code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.entries:
            return None
        command: click.Command = load(self.entries[cmd_name].place)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries().items()))

    def summaries(self) -> dict[str, str]:
        """Returns a line for the group's help on every command."""
        return {name: entry.summary for name, entry in self.entries.items()}
