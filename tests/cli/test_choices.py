"""Help shows the values of every option that has only some."""

import re
from collections.abc import Callable, Collection, Iterator

import click
import pytest

import compressors
from compressors import parameters, registry
from hvd_qgenx.cli import main
from hvd_qgenx.cli.settings import TaskCommand
from hvd_qgenx.exchange.registry import NAMES as EXCHANGES
from hvd_qgenx.games.registry import LOSSES, METHODS, NOISES
from hvd_qgenx.gossip.mixings.registry import NAMES as MIXINGS
from hvd_qgenx.gossip.registry import TOPOLOGIES
from hvd_qgenx.levels.registry import DISTRIBUTIONS
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.tasks.logistic.registry import METHODS as LOGISTIC_METHODS
from hvd_qgenx.tasks.logistic.schedule import AVERAGES, LAWS
from hvd_qgenx.training.config import DEVICES, WEIGHTS
from hvd_qgenx.training.settings import declared

ANY = {
    *(
        "--data-dir",
        "--gradients-at",
        "--inception-weights",
        "--label",
        "--level-set",
        "--levels-at",
        "--lr-milestones",
    ),
    *("--against", "--preset", "--prompt", "--score", "--title"),
    *("--consensus-step-size", "--step-size", "--start"),
    *("--name", "--namespace", "--image", "--memory", "--shm", "--runs-claim", "--data-claim"),
}
"""Options that take any text, or what another option lists."""
SOME: dict[str, Callable[[str], Collection[str]]] = {
    "--average": lambda _: AVERAGES,
    "--compressor": lambda _: compressors.names(),
    "--data": lambda _: ("breast-cancer", "a5a", "mushrooms"),
    "--device": lambda _: DEVICES,
    "--distribution": lambda _: DISTRIBUTIONS,
    "--exchange": lambda _: EXCHANGES,
    "--features": lambda _: EXTRACTORS,
    "--levels-by": lambda command: ("kind", "tensor", *(() if command in ("levels", "measure") else ("global",))),
    "--loss": lambda _: LOSSES,
    "--lr-law": lambda _: LAWS,
    "--lr-scaling": lambda _: ("none", "linear", "sqrt"),
    "--method": lambda command: LOGISTIC_METHODS if command == "logistic" else METHODS,
    "--mixing": lambda _: MIXINGS,
    "--noise": lambda _: NOISES,
    "--score-weights": lambda _: WEIGHTS,
    "--split": lambda _: ("contiguous", "shuffled", "sorted", "dirichlet"),
    "--topology": lambda _: TOPOLOGIES,
    "--weights": lambda _: WEIGHTS,
}
"""Names that options of text take, given the command, where no setting declares them."""


def commands(
    command: click.Command = main, context: click.Context | None = None
) -> Iterator[tuple[click.Command, click.Context]]:
    """Yields all commands, with their contexts."""
    context = context or click.Context(command, info_name="hvd-qgenx")
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, click.Context(found, parent=context, info_name=name))


def options() -> Iterator[tuple[str, click.Option, click.Command, click.Context]]:
    for command, context in commands():
        for option in command.params:
            if isinstance(option, click.Option):
                yield max(option.opts, key=len), option, command, context


def values(flag: str, option: click.Option, command: click.Command) -> Collection[str] | None:
    """Returns the names that an option can have; None: it has others."""
    if isinstance(option.type, click.Choice):
        return [str(name) for name in option.type.choices]
    settings = declared(command.task) if isinstance(command, TaskCommand) else {}
    if option.name in settings and settings[option.name].declaration.choices:
        return settings[option.name].declaration.choices
    if option.type is not click.STRING or flag in ANY:
        return None
    owners = registry.compressor_parameters().get(option.name or "", [])
    if choices := {name for _, field in owners for name in field.metadata["choices"] or ()}:
        return choices
    assert flag in SOME, f"{flag} of {command.name} is text: can it be any, or one of some names?"
    return SOME[flag](command.name or "")


def test_help_lists_the_values_of_every_option_that_has_only_some():
    looked_at = 0
    for flag, option, command, context in options():
        if names := values(flag, option, command):
            looked_at += 1
            shown = " ".join(option.get_help_record(context) or ())
            missing = [name for name in names if name not in shown]
            assert not missing, f"{context.command_path} --help: {flag} does not name {', '.join(missing)}"
    assert looked_at > 150


@pytest.mark.parametrize("path", ["hvd-qgenx gan", "hvd-qgenx game bilinear"])
def test_help_says_whose_default_is_which(path):
    (bits,) = (
        option.help for flag, option, _, context in options() if (flag, context.command_path) == ("--bits", path)
    )
    clauses = bits.rstrip(".").partition(". ")[2].split("; ")
    for name in compressors.names():
        for field in parameters.fields(compressors.get(name)):
            if field.name == "bits":
                (clause,) = (clause for clause in clauses if name in re.split("[ ,]+", clause.partition(" for ")[2]))
                assert f"(default {field.default})" in clause or clause.startswith(f"{field.default} for ")
