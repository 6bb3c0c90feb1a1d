"""Every script in examples/ runs as its first lines say, is short, and gets where it says it gets."""

import re
import sys
from pathlib import Path

import pytest

from tests import launch

EXAMPLES = Path(__file__).parents[1] / "examples"
REACHES = {
    "ddp_hook": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "extragradient": (r"distance to the solution: 4.472 -> (.*), in 600 exchanges", 0.0, 0.3),
    "gossip_ring": (r"of the mean of all (.*); ", 0.9, 1.0),
    "horovod_optimizer": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "intsgd": (r"(.*) of 569 wrong", 0.0, 15.0),
    "own_compressor": (r"relative squared error (.*)", 0.0, 1e-3),
    "own_game": (r"distance to the solution: 1.155 -> (.*); ", 0.0, 0.01),
}
"""What every script prints, and between what its number must lie."""


def commands(name: str) -> list[list[str]]:
    """The words of the commands that the script's own description gives."""
    found = re.findall(rf"`(.* examples/{name}\.py)`", (EXAMPLES / f"{name}.py").read_text())
    assert found
    return [command.split() for command in found]


def started(name: str) -> list[str]:
    """The first of them that can run here."""
    possible = [words[0] for words in commands(name) if words[0] != "horovodrun" or not launch.without_horovod()]
    script = str(EXAMPLES / f"{name}.py")
    if possible[0] == "python":
        return [sys.executable, script]
    return {"torchrun": launch.torchrun, "horovodrun": launch.horovodrun}[possible[0]](3, sys.executable, script)


def parameter(name: str) -> object:
    """An example, marked if it needs Horovod."""
    needs = all(words[0] == "horovodrun" for words in commands(name))
    return pytest.param(name, marks=[pytest.mark.horovod] if needs else [])


def test_there_are_no_others():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(REACHES)
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", [parameter(name) for name in REACHES])
def test_an_example_gets_where_it_says(name):
    done = launch.run(started(name))
    assert done.returncode == 0, done.stderr
    pattern, low, high = REACHES[name]
    found = re.findall(pattern, launch.untagged(done.stdout))
    assert len(found) == 1, done.stdout
    assert low <= float(found[0]) <= high
