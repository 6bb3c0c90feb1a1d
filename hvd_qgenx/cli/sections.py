"""Options under the headings of a command's help."""

from collections.abc import Callable, Sequence
from typing import Any

import click

OTHER = "Other"
"""The last heading, of options that name none."""


class SectionedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, section: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


def option(flags: str | tuple[str, str], help: str, section: str, **settings: Any) -> Callable[[Any], Any]:
    """Makes an option under a heading from its flag, or flag and name, and arguments of ``click.option``."""
    words = (flags,) if isinstance(flags, str) else flags
    return click.option(*words, cls=SectionedOption, section=section, help=help, **settings)


class SectionedCommand(click.Command):
    """A command whose help has its options under headings."""

    default_section = OTHER
    """The heading of options from elsewhere, which name none."""

    def __init__(self, *args: Any, sections: Sequence[str], **settings: Any) -> None:
        """
        Args:
            args: as of ``click.Command``, and so ``settings``.
            sections: the headings, in their order.
        """
        super().__init__(*args, **settings)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in (*self.sections, OTHER)}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for each in options:
            section = OTHER if each.name == "help" else getattr(each, "section", self.default_section)
            if record := each.get_help_record(ctx):
                found[section].append(record)
        for heading, records in ((heading, records) for heading, records in found.items() if records):
            with formatter.section(heading):
                formatter.write_dl(records)
