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


def started(name: str) -> list[str]:
    """The first command of the script's own description."""
    found = re.search("^Run it with `(.*)`", (EXAMPLES / f"{name}.py").read_text(), re.MULTILINE)
    assert found is not None
    words = [str(EXAMPLES / Path(word).name) if word.startswith("examples/") else word for word in found[1].split()]
    if words[0] == "torchrun":
        return launch.torchrun(3, sys.executable, words[-1])
    if words[0] == "horovodrun":
        launch.require_horovod()
        return launch.horovodrun(3, sys.executable, words[-1])
    return [sys.executable, *words[1:]]


def test_there_are_no_others():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(REACHES)
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", REACHES)
def test_an_example_gets_where_it_says(name):
    done = launch.run(started(name))
    assert done.returncode == 0, done.stderr
    pattern, low, high = REACHES[name]
    found = re.findall(pattern, launch.untagged(done.stdout))
    assert len(found) == 1, done.stdout
    assert low <= float(found[0]) <= high
