"""Options that several commands share."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import click

import compressors
from hvd_qgenx.errors import configuration_errors
from hvd_qgenx.gossip.registry import TOPOLOGIES
from hvd_qgenx.transport import launcher_rank
from hvd_qgenx.transport.environment import STALL_SHUTDOWN
from hvd_qgenx.transport.launcher import STALL_SECONDS, limit_stall

F = TypeVar("F", bound=Callable[..., Any])

with configuration_errors():
    COMPRESSORS = f"{', '.join(compressors.names())}, or NAME:PARAMETER=VALUE,..."
"""Values of an option that takes compressors, as its help lists them after "one of"."""


class Finite(click.FloatRange):
    """A number in a range; neither Inf nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


def number(text: str) -> float:
    """Reads a number; an int if it is written as one."""
    for wanted in (int, float):
        with suppress(ValueError):
            return wanted(text)
    raise click.BadParameter(f"{text!r} is not a number.")


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
        click.option(
            "--expect-hosts", type=click.IntRange(1), help="Refuse to start unless ranks are on this many hosts."
        ),
        click.option(
            "--expect-ranks", type=click.IntRange(1), help="Refuse to start unless there are this many ranks."
        ),
    ):
        function = option(function)
    return function


def gossip_options(function: F) -> F:
    """Adds the options of comparisons of gossip: ``topologies``, ``memory`` and ``drop``."""
    for option in (
        click.option(
            "--drop", type=Finite(0, 1, max_open=True), default=0.0, show_default=True, help="Share of lost messages."
        ),
        click.option(
            "--memory",
            type=Finite(0, 1, min_open=True),
            default=0.5,
            show_default=True,
            help="alpha of lead, lambda of motef.",
        ),
        click.option(
            "--topology",
            "topologies",
            multiple=True,
            default=("ring",),
            show_default=True,
            help=f"Who hears from whom: one of {', '.join(TOPOLOGIES)}, base-k:peers=2 or the like, or a file; "
            "repeatable.",
        ),
    ):
        function = option(function)
    return function


def _limit_stall(_: click.Context, __: click.Parameter, seconds: int) -> None:
    if launcher_rank() is not None:
        limit_stall(seconds)
