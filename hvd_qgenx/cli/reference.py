"""The page of all commands, from their helps."""

from collections.abc import Iterator

import click

from hvd_qgenx.cli import main

PROGRAM = "hvd-qgenx"
WIDTH = 84
"""Characters of a line of help that a page has room for."""


def helps(
    command: click.Command = main, context: click.Context | None = None
) -> Iterator[tuple[click.Command, click.Context]]:
    """Yields a command and those below it, by default all of ``hvd-qgenx``, with their contexts."""
    context = context or click.Context(command, info_name=PROGRAM)
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from helps(found, click.Context(found, parent=context, info_name=name))


def page() -> str:
    """Returns the page, in Markdown: a section for every command, with what ``--help`` prints."""
    parts = ["# Commands", "What `--help` prints, of every command."]
    for command, context in helps():
        context.terminal_width = context.max_content_width = WIDTH
        parts += [f"## {context.command_path}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts)
