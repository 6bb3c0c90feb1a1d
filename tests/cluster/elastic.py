"""An elastic run over three hosts, on which a rank is killed and a host is cut off; see ``hosts``.

    python -m tests.cluster.elastic RATE FOLDER [COMMAND...]

prints what happened, and draws FOLDER/elastic.png; as root. FOLDER/run is the run's. COMMAND trains; by
default it is a GAN on digits.
"""

import csv
import os
import signal
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tests.cluster.hosts import Hosts, HostsError, command, missing, three_hosts
from tests.cluster.jobs import Job

DISCOVER = Path(__file__).parents[2] / "jobs" / "hosts" / "discover.sh"
COMMIT_EVERY = 10
COLOURS = {3: "#dcebf7", 2: "#f6d5b5"}
"""By the number of ranks."""
PATIENCE = 180
"""Seconds for anything to happen."""


class ElasticJob(Job):
    """An elastic run of two ranks at least and three at most.

    Args:
        hosts: the three; all are there at first.
        folder: for the run and its log.
        words: what trains, like ``gan`` and its options.
        cooldown: seconds, at least and at most, after which a host is used again whose rank was lost.
    """

    def __init__(self, hosts: Hosts, folder: Path, *words: str, cooldown: tuple[int, int] = (3, 6)) -> None:
        table = folder / "hosts.txt"
        table.write_text("a slots=1\nb slots=1\nc slots=1\n")
        launcher = (
            *("horovodrun", "--disable-cache", "-np", "3", "--min-np", "2", "--max-np", "3"),
            *("--network-interface", "eth0", "--gloo-timeout-seconds", "40"),
            *("--host-discovery-script", f"{DISCOVER} {table}"),
            *("--blacklist-cooldown-range", *map(str, cooldown)),
        )
        elastic = ("--elastic", "--commit-every", str(COMMIT_EVERY), "--log-every", "1")
        super().__init__(hosts, folder / "run", folder / "log", *words, *elastic, launcher=launcher)

    def formations(self) -> list[dict[str, float]]:
        """The rows of the run's ranks.csv."""
        path = self.run / "ranks.csv"
        rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else []
        return [{name: float(value) for name, value in row.items()} for row in rows]

    def train_on(self, updates: int) -> None:
        """Waits for so many more updates."""
        self.until_update(self.updates() + updates)

    def reach_ranks(self, ranks: int) -> None:
        """Waits until so many ranks train."""
        self.reach(lambda: self.formations()[-1]["ranks"] == ranks, PATIENCE, f"training with {ranks} ranks")


def lose_and_regain(job: ElasticJob, updates: int = 40) -> None:
    """Kills the rank on host c, waits until two ranks train, and until the host is used again."""
    job.train_on(updates)
    os.kill(job.hosts.c.ranks()[0], signal.SIGKILL)
    job.reach_ranks(2)
    job.reach_ranks(3)
    job.train_on(updates)


def cut_off_and_reconnect(job: ElasticJob, updates: int = 40) -> None:
    """Takes host c's link down, waits until two ranks train, and takes it up again."""
    job.hosts.c.set_link("down")
    job.reach_ranks(2)
    job.train_on(updates)
    job.hosts.c.set_link("up")
    job.reach_ranks(3)
    job.train_on(updates)


def draw(job: ElasticJob) -> Figure:
    """A loss over updates, the critic's of a GAN, coloured by the number of ranks."""
    rows = list(csv.DictReader((job.run / "metrics.csv").read_text().splitlines()))
    updates = [int(row["update"]) for row in rows]
    loss = next(name for name in ("loss/discriminator", "loss/train") if name in rows[0])
    losses = [float(row[loss]) for row in rows]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    formations = job.formations()
    ends = [*(each["update"] for each in formations[1:]), updates[-1]]
    for formation, end in zip(formations, ends, strict=True):
        axes.axvspan(formation["update"], end, color=COLOURS[formation["ranks"]], lw=0)
        if lost := formation["lost_updates"]:
            place = (formation["update"], 0.02)
            axes.text(*place, f" {lost:.0f} updates lost", fontsize=8, transform=axes.get_xaxis_transform())
    axes.legend(handles=[Patch(color=colour, label=f"{ranks} ranks") for ranks, colour in COLOURS.items()])
    axes.plot(updates, losses, lw=0.8, color="#1f4e79")
    axes.set(xlabel="update", ylabel=loss, xlim=(0, updates[-1]))
    return figure


def main(rate: str, folder: str, *words: str) -> int:
    """Returns the exit code of the job."""
    words = words or ("gan", "--updates", "800", "--filters", "16", "--batch-size", "24")
    if reason := missing():
        raise HostsError(reason)
    out = Path(folder)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        job = ElasticJob(hosts, out, *words, cooldown=(5, 10))
        lose_and_regain(job, 100)
        cut_off_and_reconnect(job, 100)
        code = job.end(PATIENCE)
    print((job.run / "ranks.csv").read_text(), end="")
    draw(job).savefig(out / "elastic.png", dpi=120)
    return code


if __name__ == "__main__":
    command(main, __doc__)
