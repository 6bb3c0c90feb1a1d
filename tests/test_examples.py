"""Every script in examples/ runs as its first lines say, is short, and gets where it says it gets."""

import re
import sys
from pathlib import Path

import pytest

from tests import launch

EXAMPLES = Path(__file__).parents[1] / "examples"
REACHES = {
    "accelerate_hook": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "ddp_hook": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "extragradient": (r"distance to the solution: 4.472 -> (.*), in 600 exchanges", 0.0, 0.3),
    "gossip_ring": (r"of the mean of all (.*); ", 0.9, 1.0),
    "horovod_optimizer": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "intsgd": (r"(.*) of 569 wrong", 0.0, 15.0),
    "lightning_hook": (r"accuracy on rank 0's images (.*); ", 0.9, 1.0),
    "own_compressor": (r"relative squared error (.*)", 0.0, 1e-3),
    "own_game": (r"distance to the solution: 1.155 -> (.*); ", 0.0, 0.01),
}
"""What every script prints, and between what its number must lie."""
FRAMEWORKS = "ddp_hook", "lightning_hook", "accelerate_hook"
"""Scripts of the same training."""
DIGESTED = str(Path(__file__).parent / "multiprocess" / "example.py")


def commands(name: str) -> list[list[str]]:
    """The words of the commands that the script's own description gives."""
    found = re.findall(rf"`(.* examples/{name}\.py)`", (EXAMPLES / f"{name}.py").read_text())
    assert found
    return [command.split() for command in found]


def started(name: str, *through: str) -> list[str]:
    """The first of them that can run here, with the script run ``through`` another."""
    possible = [words[0] for words in commands(name) if words[0] != "horovodrun" or not launch.without_horovod()]
    program = sys.executable, *through, str(EXAMPLES / f"{name}.py")
    if possible[0] == "python":
        return [*program]
    return {"torchrun": launch.torchrun, "horovodrun": launch.horovodrun}[possible[0]](3, *program)


def parameter(name: str) -> object:
    """An example, marked if it needs Horovod."""
    needs = all(words[0] == "horovodrun" for words in commands(name))
    return pytest.param(name, marks=[pytest.mark.horovod] if needs else [])


def test_there_are_no_others():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(REACHES)
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.glob("*.py"))


def printed(name: str, *through: str) -> str:
    """Runs a script, checks what it reaches, and returns what all ranks printed."""
    done = launch.run(started(name, *through))
    assert done.returncode == 0, done.stderr
    pattern, low, high = REACHES[name]
    text = launch.untagged(done.stdout)
    found = re.findall(pattern, text)
    assert len(found) == 1, done.stdout
    assert low <= float(found[0]) <= high
    return text


@pytest.mark.parametrize("name", [parameter(name) for name in REACHES if name not in FRAMEWORKS])
def test_an_example_gets_where_it_says(name):
    printed(name)


def test_frameworks_have_the_bits_of_ddp():
    found = {name: printed(name, DIGESTED) for name in FRAMEWORKS}
    digests = {name: re.findall("[0-9a-f]{64}", text) for name, text in found.items()}
    assert [len(each) for each in digests.values()] == [3, 3, 3]
    assert len({digest for each in digests.values() for digest in each}) == 1
    sent = [re.findall(r"; (.*) kB an update on each of 3 rank\(s\)", text) for text in found.values()]
    assert sent == [["7.8"]] * 3
