"""Holds the doctor's predictions against exchanges measured right after, on three hosts on one machine; see ``hosts``.

    python -m tests.cluster.predictions RATE MODEL ...

RATE is that of the links, such as 1gbit; 100gbit limits nothing here; ``loopback`` stands for three ranks on this host,
without links. MODEL is gan or resnet18. Prints Markdown for docs/doctor.md. As root, unless RATE is ``loopback``; a
minute or two.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hvd_qgenx.bench.tables import Table, milliseconds
from tests import launch
from tests.cluster.hosts import HostsError, command, missing, three_hosts

MEASURE_SECONDS = 40.0
"""For the exchanges of one model; there are 3 to 9 of each."""
NEAR = 1.25
NOISE = 1.10
"""A choice that takes so many times as long as the best is still right."""

Launch = Callable[..., None]
Row = dict[str, Any]


def main(rate: str, *models: str) -> int:
    """Returns 0; what is printed says how good the predictions are."""
    with tempfile.TemporaryDirectory() as scratch, launcher(rate, Path(scratch)) as start:
        for model in models:
            print(compare(start, rate, model, Path(scratch)), flush=True)
    return 0


@contextmanager
def launcher(rate: str, scratch: Path) -> Iterator[Launch]:
    """What runs a command on three ranks to its end."""
    if rate == "loopback":
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        settings: dict[str, Any] = {"env": {**os.environ, "PATH": path}, "stdout": subprocess.DEVNULL}
        yield lambda *words: subprocess.run(launch.horovodrun(3, *words), check=True, **settings)
        return
    if reason := missing():
        raise HostsError(reason)
    with three_hosts(rate, scratch) as hosts:

        def run(*words: str) -> None:
            log = scratch / "log"
            if hosts.horovodrun(*words, log=log).wait():
                raise HostsError(log.read_text(errors="replace"))

        yield run


def compare(start: Launch, rate: str, model: str, scratch: Path) -> str:
    """Predicted and measured seconds of every candidate, and whether the choice was right."""
    told, seen = scratch / "doctor.json", scratch / "measured.json"
    start("hvd-qgenx", "doctor", "--model", model, "--json", str(told))
    predicted = json.loads(told.read_text())["measurement"]
    forecasts = {(one["compressor"], one["exchange"]): one for one in predicted["forecasts"]}
    repeats = min(max(3, int(MEASURE_SECONDS / sum(one["seconds"] for one in forecasts.values()))), 9)
    texts = dict.fromkeys(text for text, _ in forecasts if text != "none")
    start(sys.executable, "-m", "tests.cluster.measured", model, str(repeats), str(seen), *texts)
    measured = {(row["system"], row["pattern"]): row["seconds"] for row in json.loads(seen.read_text())}
    return f"{_title(rate, predicted)}\n\n{_table(forecasts, measured)}\n{_verdict(forecasts, measured, predicted)}\n"


def _title(rate: str, predicted: Row) -> str:
    where = "three ranks on one host" if rate == "loopback" else f"three hosts at {rate}"
    return f"**{predicted['model']}, {predicted['numel']:,} gradients, {where}**"


def _table(forecasts: dict[Any, Row], measured: dict[Any, Row]) -> str:
    return Table(
        "",
        ("compressor", "exchange", "from", "predicted, ms", "measured, ms", "predicted / measured"),
        [
            (
                text,
                way,
                one["source"],
                milliseconds(one["seconds"]),
                "{median} ({min}-{max})".format(**{key: milliseconds(s) for key, s in measured[text, way].items()}),
                f"{one['seconds'] / measured[text, way]['median']:.2f}",
            )
            for (text, way), one in forecasts.items()
        ],
    ).markdown()


def _verdict(forecasts: dict[Any, Row], measured: dict[Any, Row], predicted: Row) -> str:
    ratios = [one["seconds"] / measured[key]["median"] for key, one in forecasts.items()]
    near = sum(1 / NEAR <= ratio <= NEAR for ratio in ratios)
    allowed = [key for key, one in forecasts.items() if one["error"] <= predicted["most_error"]]
    chosen = next(key for key, one in forecasts.items() if one["best"])
    best = min(allowed, key=lambda key: measured[key]["median"])
    behind = measured[chosen]["median"] / measured[best]["median"]
    right = "right" if behind <= NOISE else "wrong"
    return (
        f"Chosen: {', '.join(chosen)}; best when measured: {', '.join(best)}; {behind:.2f} times the best: {right}. "
        f"{near} of {len(ratios)} predictions within 25 %, {min(ratios):.2f} to {max(ratios):.2f}. "
        f"The doctor took {predicted['seconds']:.1f} s and {predicted['bytes_sent'] / 1e6:.0f} MB."
    )


if __name__ == "__main__":
    command(main, __doc__)
