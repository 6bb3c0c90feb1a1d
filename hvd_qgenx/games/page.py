"""Plays the games that docs/games.md shows, and writes its tables anew: ``python -m hvd_qgenx.games.page``."""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

PAGE = Path("docs/games.md")
COMMAND = """hvd-qgenx game bilinear --noise none --noise absolute --noise relative --workers 1 --workers 4 \\
    --compressor none --compressor nuqsgd:bits=4 --iterations 3000 --seeds 3"""
BEGIN, END = "<!-- `make games` writes what follows. -->\n", "<!-- `make games` wrote this. -->\n"

COLOURS = 128
"""Colours of the picture's palette, with which its file is a quarter as large."""

Case = dict[str, Any]


def write(run: Path, page: Path) -> None:
    """Writes the tables of a run of ``COMMAND`` into the page, and its picture beside it.

    Raises:
        ValueError: the page does not say where they go.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no lines {BEGIN.strip()} and {END.strip()}")
    summary = json.loads((run / "summary.json").read_text())
    page.write_text(before + begin + "\n".join(_parts(summary)) + "\n" + end + after)
    with Image.open(run / f"{summary['game']}.png") as picture:
        picture.convert("RGB").quantize(COLOURS).save(page.parent / "images" / "games.png", optimize=True)


def _parts(summary: dict[str, Any]) -> Iterator[str]:
    cases, iterations = summary["cases"], summary["iterations"]
    marks = " / ".join(dict.fromkeys(mark for case in cases for mark in case["gap"]))
    yield "\n" + "".join(f"    {line}\n" for line in COMMAND.splitlines())
    yield (
        f"plays {len(cases) * summary['seeds']} games. Gap of the average at t = {marks}, mean of {summary['seeds']} "
        f"seeds, and its slope for t from\n{' to '.join(_fitted(summary))}:\n"
    )
    for compressor in dict.fromkeys(case["compressor"] for case in cases):
        yield f"**`{compressor}`**\n"
        yield _table([case for case in cases if case["compressor"] == compressor])
    yield f"At t = {iterations} the gap {_ratios(cases, str(iterations))}\n"


def _fitted(summary: dict[str, Any]) -> Sequence[str]:
    """Returns the first and the last time of the fit of slopes, which end its description."""
    words = summary["slope"].split()
    return words[-3], words[-1]


def _table(cases: Sequence[Case]) -> str:
    """Returns a row for every noise and number of workers, a column for every method."""
    noises = list(dict.fromkeys(case["noise"] for case in cases))
    rows: dict[tuple[str, int], dict[str, Case]] = {}
    for case in sorted(cases, key=lambda case: noises.index(case["noise"])):
        rows.setdefault((case["noise"], case["workers"]), {})[case["method"]] = case
    methods = [f"`{method}`" for method in dict.fromkeys(case["method"] for case in cases)]
    lines = [["noise, K", *methods], ["---"] * (1 + len(methods))]
    lines += [[f"{noise}, {workers}", *map(_cell, own.values())] for (noise, workers), own in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(case: Case) -> str:
    if times := sorted(set(case["diverged_at"])):
        return f"diverges at {times[0]}" + (f"-{times[-1]}" if len(times) > 1 else "")
    gaps = (f"{at['mean']:.2g}" for at in case["gap"].values())
    return f"{' / '.join(gaps)} ({case['slope']:.2f})"


def _ratios(cases: Sequence[Case], last: str) -> str:
    """Says what compression costs and saves, and how much seeds differ."""
    stable = [case for case in cases if not case["diverged_at"]]
    of = {(case["method"], case["noise"], case["workers"], case["compressor"]): case for case in stable}
    pairs = [(of[*key, "none"], case) for (*key, name), case in of.items() if name != "none" and (*key, "none") in of]
    gaps = [case["gap"][last]["mean"] / none["gap"][last]["mean"] for none, case in pairs]
    sent = [none["megabytes"] / case["megabytes"] for none, case in pairs if case["megabytes"]]
    spread = [case["gap"][last]["std"] / case["gap"][last]["mean"] for case in stable]
    return (
        f"with 4 bits is {min(gaps):.2f} to {max(gaps):.2f} times that without, for {min(sent):.1f} to {max(sent):.1f} "
        f"times fewer bytes.\nIts standard deviation over seeds is at most {max(spread):.0%} of it."
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        words = [*shlex.split(COMMAND.replace("\\\n", ""))[1:], "--out", f"{folder}/run"]
        subprocess.run([sys.executable, "-m", "hvd_qgenx", *words], check=True)
        write(Path(folder, "run"), PAGE)
