"""hvd-qgenx topology"""

import json
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli import options
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.registry import DEFAULT_WEIGHTS, TOPOLOGIES, WEIGHTS, make

if TYPE_CHECKING:
    from hvd_qgenx.gossip.choices import Choice
    from hvd_qgenx.gossip.topology import Topology


@click.command()
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True)
@click.option("--ranks", type=click.IntRange(1), multiple=True, default=(16,), help="Repeatable.  [default: 16]")
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    default=DEFAULT_WEIGHTS,
    show_default=True,
    help="Mixing weights of undirected graphs; default: each graph's own.",
)
@click.option(
    "--peers", type=click.IntRange(1), default=1, show_default=True, help="Neighbours in a round, of base-k alone."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of random-matching.")
@click.option("--tune", is_flag=True, help="Find consensus step sizes, too: seconds to a minute for each row.")
@click.option(
    "--compressor",
    "compressors",
    multiple=True,
    default=("topk:ratio=.01",),
    show_default=True,
    help=f"Of --tune: one of {options.COMPRESSORS}; repeatable.",
)
@click.option(
    "--mixing",
    default="choco",
    show_default=True,
    help=f"Of --tune: one of {', '.join(MIXINGS)}, if it has a consensus step size.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/topology-TIME]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def topology(**values: Any) -> None:
    """Compare topologies of gossip: spectral gaps, rounds to consensus, bytes.

    \b
    Examples:
      hvd-qgenx topology ring --ranks 16
      hvd-qgenx topology ring torus base-k --ranks 16 --ranks 64
      hvd-qgenx topology base-k:peers=1 base-k:peers=2 base-k:peers=4 one-peer-exponential --ranks 25
      hvd-qgenx topology social --ranks 32 --weights metropolis
      hvd-qgenx topology sites.txt --ranks 6
      hvd-qgenx topology ring torus --ranks 25 --tune --compressor topk:ratio=.01 --compressor sign

    \b
    Names:
      complete ring torus expander margulis social extended-ring hypercube star chain exponential
      disconnected; schedules that change with the step: one-peer-exponential base-k random-matching

    A file has lines of two ranks, `0 1`, or of two ranks and the weight of their edge, `0 1 0.25`, or
    a square matrix of weights, separated by blanks or commas. Ranks count from 0; # begins a comment.

    Writes topology.json, topology.png (the graph of each round; the decay of the distance to consensus
    from a random start, without compression) and config.json.
    """
    from hvd_qgenx.gossip import comparison, figure, tuned
    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.runs.folder import write_json

    with exit_codes():
        require_alone()
        topologies = _topologies(values)
        choices = _choices(values, topologies)
        rows = [comparison.measure(made) for made in topologies]
        folder = RunFolder(values["out"] or Path(f"runs/topology-{datetime.now():%Y%m%d-%H%M%S}"))
        folder.create({**values, "out": str(folder.path)})
        found = [row.as_dict() for row in rows]
        tunings = [[tuned.measure(made, choice, values["mixing"]) for choice in choices] for made in topologies]
        for row, own in zip(found, tunings if values["tune"] else (), strict=values["tune"]):
            row["tuning"] = [each.as_dict() for each in own]
        write_json(folder.path / "topology.json", found)
        figure.draw(rows, folder.path / "topology.png")
        text = comparison.table(rows, width=110)
        if values["tune"]:
            text += "\n" + tuned.table([row for own in tunings for row in own], values["mixing"], width=110)
        click.echo(json.dumps(found) if values["as_json"] else f"{text}all numbers and a picture in {folder.path}")


def _choices(values: dict[str, Any], topologies: "list[Topology]") -> "list[Choice]":
    """Returns the compressors to tune; none if that is not asked for."""
    from hvd_qgenx.gossip import choices, consensus

    if not values["tune"]:
        return []
    mixing = MIXINGS[values["mixing"]]
    if not mixing.tuned:
        raise ConfigurationError(f"{mixing.name} has no consensus step size; choco has one")
    for topology in topologies:
        mixing.check(topology)
        if consensus.messages_in_period(topology) == 0:
            raise ConfigurationError(f"ranks of {topology.name} send no messages, so there is nothing to tune")
    found = [choices.Choice.read(text, ()) for text in dict.fromkeys(values["compressors"])]
    return [choice for _, choice in choices.combinations([mixing.name], found)]


def _topologies(values: dict[str, Any]) -> "list[Topology]":
    """Makes each topology for each number of ranks; ``--peers`` concerns those that take it, if there are any."""
    names, ranks = list(dict.fromkeys(values["names"])), list(dict.fromkeys(values["ranks"]))
    concerned = [name for name in names if name in TOPOLOGIES and TOPOLOGIES[name].takes_peers] or names
    return [
        make(
            name,
            n,
            weights=values["weights"],
            peers=values["peers"] if name in concerned else 1,
            seed=values["seed"],
        )
        for name, n in product(names, ranks)
    ]
