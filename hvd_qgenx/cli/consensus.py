"""hvd-qgenx consensus"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli import options
from hvd_qgenx.cli.options import Finite
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.registry import NAMES

if TYPE_CHECKING:
    from hvd_qgenx.tasks.consensus.cases import Case, Starts

ROUNDS = 200
RANKS = 8
DIMENSION = 1000


@click.command()
@click.option(
    "--mixing",
    "mixings",
    multiple=True,
    default=("choco",),
    show_default=True,
    help=f"One of {', '.join(NAMES)}; repeatable. Some have no consensus without gradients, and say so.",
)
@click.option(
    "--compressor",
    "compressors",
    multiple=True,
    default=("none",),
    show_default=True,
    help=f"One of {options.COMPRESSORS}; with @STEP,... it has step sizes of its own; repeatable.",
)
@options.gossip_options
@click.option("--ranks", type=click.IntRange(1), multiple=True, help=f"Repeatable.  [default: {RANKS}]")
@click.option("--dimension", type=click.IntRange(1), help=f"Numbers that a rank has.  [default: {DIMENSION}]")
@click.option("--rounds", type=click.IntRange(1), help=f"Length of runs.  [default: {ROUNDS}]")
@click.option(
    "--messages",
    type=Finite(0, min_open=True),
    help="Length of runs in messages that a rank sends, mean over ranks, instead of rounds.",
)
@click.option(
    "--step-size",
    "step_sizes",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="Consensus step size: a number, LOW:HIGH:COUNT for the best of a geometric grid, or auto; repeatable.",
)
@click.option("--start", default="gaussian", show_default=True, metavar="gaussian|FILE", help="A matrix, .npy or .pt.")
@click.option("--seed", type=int, default=0, show_default=True, help="First seed.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Number of seeds.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/consensus-TIME]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def consensus(**values: Any) -> None:
    """Measure how fast ranks agree on the mean of their vectors.

    \b
    Examples:
      hvd-qgenx consensus --compressor topk:ratio=.01 --compressor sign --rounds 1000
      hvd-qgenx consensus --ranks 25 --compressor topk:ratio=.01@.03,.046,.06 --rounds 10000
      hvd-qgenx consensus --topology ring --topology one-peer-exponential --ranks 16 \\
          --compressor minmax:bits=4 --step-size .4:1.6:9 --messages 100

    Each of --ranks starts with a vector of its own, sends compressed messages to its neighbours, and all should get to
    the mean. The consensus step size is a stability limit: above it, the error grows in the end. The second command
    shows it. The third compares two topologies at equal messages a rank: on a ring a rank sends two in a round, with
    one peer one. `auto` takes a safe step size, about half of the best.

    Everything runs in this process, in float64, through the compressors' own payloads, whose bits are counted. Writes
    consensus.csv, consensus.png, summary.json and config.json.
    """
    from tqdm import tqdm

    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.runs.folder import write_json
    from hvd_qgenx.tasks.consensus import figure
    from hvd_qgenx.tasks.consensus.cases import Length, runs
    from hvd_qgenx.tasks.consensus.results import Results

    with exit_codes():
        require_alone()
        if values["rounds"] and values["messages"]:
            raise ConfigurationError("--rounds and --messages are two lengths of the same runs; give one")
        length = Length(None if values["messages"] else values["rounds"] or ROUNDS, values["messages"])
        starts, ranks = _starts(values)
        cases = _cases(values, ranks)
        for case in cases:
            length.rounds_on(case.topology)
        folder = RunFolder(values["out"] or Path(f"runs/consensus-{datetime.now():%Y%m%d-%H%M%S}"))
        folder.create({**values, "out": str(folder.path)})
        seeds = range(values["seed"], values["seed"] + values["seeds"])
        found = list(tqdm(runs(cases, starts, length, seeds), "cases", len(cases), leave=False, delay=1, disable=None))
        results = Results(found, seeds, length)
        results.write_csv(folder.path / "consensus.csv")
        write_json(folder.summary, results.summary())
        figure.draw(results, folder.path / "consensus.png")
        text = f"{results.table()}table, summary and picture in {folder.path}"
        click.echo(json.dumps(results.rows()) if values["as_json"] else text)


def _starts(values: dict[str, Any]) -> tuple[Starts, list[int]]:
    """Returns the start and the numbers of ranks."""
    from hvd_qgenx.tasks.consensus.cases import Starts
    from hvd_qgenx.tasks.consensus.files import read

    ranks = list(dict.fromkeys(values["ranks"]))
    if values["start"] == "gaussian":
        return Starts(values["dimension"] or DIMENSION), ranks or [RANKS]
    given = read(Path(values["start"]))
    count, dimension = given.shape
    if ranks not in ([], [count]):
        raise ConfigurationError(f"{values['start']} has vectors of {count} ranks; leave --ranks out")
    if values["dimension"] not in (None, dimension):
        raise ConfigurationError(f"{values['start']} has vectors of {dimension} numbers; leave --dimension out")
    return Starts(dimension, given), [count]


def _cases(values: dict[str, Any], ranks: list[int]) -> list[Case]:
    from hvd_qgenx.gossip.choices import Choice, StepSize, combinations
    from hvd_qgenx.gossip.consensus import check
    from hvd_qgenx.gossip.mixings.registry import MIXINGS
    from hvd_qgenx.gossip.registry import make
    from hvd_qgenx.tasks.consensus.cases import Case, Names

    steps = [StepSize.read(text) for text in dict.fromkeys(values["step_sizes"])]
    choices = [Choice.read(text, steps) for text in dict.fromkeys(values["compressors"])]
    made = [make(name, n, seed=values["seed"]) for n in ranks for name in dict.fromkeys(values["topologies"])]
    pairs = combinations(values["mixings"], choices)
    for mixing, _ in pairs:
        for topology in made:
            check(MIXINGS[mixing], topology)
    return [
        Case(
            Names(mixing, choice.text, topology.name, topology.size),
            topology,
            choice.compressor,
            step,
            values["memory"],
            values["drop"],
        )
        for topology in made
        for mixing, choice in pairs
        for step in choice.steps_for(mixing)
    ]
