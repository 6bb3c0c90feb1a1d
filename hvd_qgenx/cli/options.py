"""Options that several commands share."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import click

from compressors import parameters
from compressors.registry import compressor_parameters, kind
from hvd_qgenx.cli.session import exit_codes as exit_codes
from hvd_qgenx.cli.session import require_alone as require_alone
from hvd_qgenx.transport import launcher_rank
from hvd_qgenx.transport.environment import STALL_SHUTDOWN
from hvd_qgenx.transport.launcher import STALL_SECONDS, limit_stall

F = TypeVar("F", bound=Callable[..., Any])


def compressor_options(function: F) -> F:
    """Adds one option for every parameter of the registered compressors."""
    for name, owners in reversed(compressor_parameters().items()):
        field = owners[0][1]
        users = ", ".join(f"{owner}{parameters.limits(own)}" for owner, own in owners)
        defaults = " or ".join(dict.fromkeys(str(own.default) for _, own in owners))
        text = f"{field.metadata['help']} For {users}.  [default: {defaults}]"
        wanted = kind(owners)
        function = click.option(
            f"--{name.replace('_', '-')}", name, type=number if wanted is float else wanted, help=text
        )(function)
    return function


def take_compressor_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Removes the parameters of compressors from ``values`` and returns the ones that were given."""
    taken = {name: values.pop(name) for name in compressor_parameters()}
    return {name: value for name, value in taken.items() if value is not None}


def number(text: str) -> float:
    """Reads a number; an int if it is written as one."""
    for wanted in (int, float):
        with suppress(ValueError):
            return wanted(text)
    raise click.BadParameter(f"{text!r} is not a number.")


def option_from(config: type) -> Callable[..., Callable[[F], F]]:
    """Makes options whose type and default are those of the field of the same name in a dataclass.

    A field that is true or false has an option to switch it on and one to switch it off.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}

    def option(flag: str, help: str, **settings: Any) -> Callable[[F], F]:
        name = flag.lstrip("-").replace("-", "_")
        default = defaults[name]
        settings = {"type": type(default), "show_default": True, **settings}
        flags = f"{flag}/--no-{flag.lstrip('-')}" if isinstance(default, bool) else flag
        return click.option(flags, name, default=default, help=help, **settings)

    return option


class Sectioned(click.Command):
    """A command whose help has its options under headings."""

    def __init__(self, *args: Any, sections: Mapping[str, str], **settings: Any) -> None:
        """
        Args:
            args: as of ``click.Command``, and so ``settings``.
            sections: headings, by the name of the first option under them.
        """
        super().__init__(*args, **settings)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            heading = self.sections.get(parameter.name or "", heading)
            if record := parameter.get_help_record(ctx):
                found.setdefault(heading, []).append(record)
        for heading, records in found.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def launcher_options(function: F) -> F:
    """Adds the options of every command that may run on several ranks: ``expect_ranks`` and ``expect_hosts``."""
    for option in (
        click.option(
            "--stall-seconds",
            type=click.IntRange(0),
            default=STALL_SECONDS,
            envvar=STALL_SHUTDOWN,
            show_default=True,
            show_envvar=True,
            expose_value=False,
            callback=_limit_stall,
            help="Seconds that a rank may be silent before the job ends; 0: no limit.",
        ),
        click.option("--expect-hosts", type=click.IntRange(1), help="Stop at once unless ranks are on so many hosts."),
        click.option("--expect-ranks", type=click.IntRange(1), help="Stop at once unless there are so many ranks."),
    ):
        function = option(function)
    return function


def _limit_stall(_: click.Context, __: click.Parameter, seconds: int) -> None:
    if launcher_rank() is not None:
        limit_stall(seconds)
