"""hvd-qgenx gan on three ranks, under the real horovodrun: repeats, resumes, fails as promised."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hvd_qgenx.tasks.gan.settings import GanConfig
from tests import launch
from tests.multiprocess import threads

SETTINGS = {"filters": 8, "batch_size": 12, "log_every": 1, "sample_every": 1000, "seed": 3}
UPDATES = 60
LEARNING = {"compressor": "alq", "coding": "huffman", "levels_at": "0,20", "updates": 40}


pytestmark = pytest.mark.horovod


def words(**settings: object) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


QUICK = words(**SETTINGS)


def gan(*arguments: object, ranks: int = 3) -> list[str]:
    return launch.horovodrun(ranks, launch.COMMAND, "gan", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def by_threads(out: Path, **changes: object) -> dict:
    return threads.train(3, GanConfig(**{**SETTINGS, **changes}), out)


def ranks_of(out: Path) -> list[int]:
    """Processes of a run's ranks, by their command line."""
    return sorted(pid for pid, words in launch.command_lines() if launch.runs_command(words) and str(out) in words)


def train(out: Path, *arguments: object) -> dict:
    result = launch.run(gan("--out", out, *arguments))
    assert result.returncode == 0, result.stderr
    assert "all ranks are on one host" in result.stderr
    return summary(out)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("gan") / "run", *QUICK, "--updates", UPDATES)


def test_bytes_shrink_with_bits(tmp_path, uninterrupted):
    """Against fp32, less the overhead of headers and of the tensors sent uncompressed."""
    full, eight, four = (
        by_threads(tmp_path / str(number), **changes, updates=2)["bytes_per_update"]
        for number, changes in enumerate(({"compressor": "none"}, {"compressor_parameters": {"bits": 8}}, {}))
    )
    assert 3 < full / eight < 4
    assert 5 < full / four < 8
    assert uninterrupted["bytes_per_update"] == four


def logged(out: Path) -> int:
    """Updates in the run's table."""
    metrics = out / "metrics.csv"
    return max(0, metrics.read_text().count("\n") - 1) if metrics.exists() else 0


def kill(out: Path, victim: int, after: int, *arguments: object) -> None:
    """Begins or resumes a run, and kills one of its ranks once so many updates are logged."""
    job = subprocess.Popen(
        gan(*arguments),
        env=launch.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    launch.until(lambda: logged(out) >= after, 120, "updates")
    os.kill(ranks_of(out)[victim], signal.SIGKILL)
    job.communicate(timeout=60)
    assert job.returncode != 0
    launch.until(lambda: not ranks_of(out), 10, "all ranks to end")
    assert not (out / "summary.json").exists()


def resume(out: Path) -> dict:
    """Goes on from the last checkpoint to the end."""
    done = launch.run(gan("--resume", out))
    assert done.returncode == 0, done.stderr
    return summary(out)


def scored(out: Path) -> list[str]:
    """Updates that have been scored."""
    return [line.split(",")[0] for line in (out / "scores.csv").read_text().splitlines()[1:]]


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path, uninterrupted):
    """Every rank in turn: the first while update 20 is scored, after its metrics were written; then at random updates.

    The runs are the same one though only one of them is scored.
    """
    out, chance = tmp_path / "run", random.Random(0)
    begin = ("--out", out, *QUICK, "--updates", UPDATES, "--checkpoint-every", 3.5)
    kill(out, 1, 20, *begin, "--score-every", 20, "--score-samples", 20000)
    assert scored(out) == []
    for victim in (0, 2):
        kill(out, victim, logged(out) + chance.randint(1, 12), "--resume", out)
    resumed = resume(out)
    for key in ("replica_hash", "losses", "bytes_sent", "relative_error"):
        assert resumed[key] == uninterrupted[key]
    assert scored(out) == ["20", "40", "60"]


def test_levels_move_and_survive_a_kill(tmp_path):
    """Adaptive levels in Huffman's code; the second level update, before update 20, comes after the kill."""
    out = tmp_path / "run"
    learning = (*QUICK, *words(**LEARNING), "--bits", 3)
    whole = train(tmp_path / "whole", *learning)
    kill(out, 1, 10, "--out", out, *learning, "--checkpoint-every", 3.5)
    resumed = resume(out)
    for key in ("replica_hash", "bytes_sent", "losses"):
        assert resumed[key] == whole[key]
    tables = [(folder / "levels.csv").read_text() for folder in (tmp_path / "whole", out)]
    assert tables[0] == tables[1]
    assert [line.split(",")[:2] for line in tables[0].splitlines()[1:]] == [["1", "1"], ["21", "2"]]
    plain = by_threads(tmp_path / "plain", **{**LEARNING, "coding": "none"}, compressor_parameters={"bits": 3})
    assert whole["bytes_sent"] < plain["bytes_sent"]


def test_ranks_that_disagree_stop_before_training(tmp_path):
    """mpirun gives every rank a command line of its own."""
    out = tmp_path / "run"
    same = [launch.COMMAND, "gan", "--out", str(out), *QUICK, "--bits"]
    result = launch.run(
        ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2", *same, "4", ":", "-np", "1", *same, "8"]
    )
    assert result.returncode == 2
    assert result.stderr.count("Error: ranks disagree on the configuration: compressor_parameters; ") == 1
    assert re.search(r"'bits': 4.* 0, 1 .*\n.*'bits': 8.* 2 ", result.stderr)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--expect-ranks", 4], "expected 4 ranks but there are 2"),
        (["--batch-size", 1], "a batch of 1 cannot be split over 2 ranks"),
        (["--bits", 9], "bits must be from 1 to 8, not 9"),
    ],
)
def test_bad_input_is_said_once(tmp_path, arguments, sentence):
    result = launch.run(gan("--out", tmp_path / "run", *QUICK, *arguments, ranks=2))
    assert result.returncode != 0
    assert result.stderr.count(sentence) == 1
    assert "Exit code:    2" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_bad_gradient_ends_every_rank_with_one_sentence(tmp_path):
    out = tmp_path / "run"
    start = time.monotonic()
    result = launch.run(
        gan("--out", out, *QUICK, "--updates", 100, "--checkpoint-every", 0.5, "--discriminator-lr", "1e30")
    )
    assert result.returncode != 0
    assert time.monotonic() - start < 90
    assert result.stderr.count("Error: Inf or NaN in a gradient on rank 0: ") == 1
    assert "; rank 2: " in result.stderr
    assert (out / "checkpoint.pt").exists()
    assert not ranks_of(out)
