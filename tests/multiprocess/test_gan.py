"""hvd-qgenx gan on three ranks, under the real horovodrun: repeats, resumes, fails as promised."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import launch

QUICK = ["--filters", "8", "--batch-size", "12", "--log-every", "5", "--sample-every", "1000", "--seed", "3"]


pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _horovod() -> None:
    launch.require_horovod()


def gan(*arguments: object, ranks: int = 3) -> list[str]:
    return launch.horovodrun(ranks, launch.COMMAND, "gan", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def train(out: Path, *arguments: object) -> dict:
    result = launch.run(gan("--out", out, *QUICK, *arguments))
    assert result.returncode == 0, result.stderr
    assert ("all ranks are on one host" in result.stderr) == ("--compressor none" not in " ".join(map(str, arguments)))
    return summary(out)


def ranks_of(out: Path) -> list[int]:
    """Processes of a run's ranks, by their command line."""
    return sorted(pid for pid, words in launch.command_lines() if launch.runs_command(words) and str(out) in words)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    launch.require_horovod()
    return train(tmp_path_factory.mktemp("gan") / "run", "--updates", 60)


def test_the_same_seed_gives_the_same_run(tmp_path, uninterrupted):
    again = train(tmp_path / "run", "--updates", 60)
    for key in ("replica_hash", "losses", "bytes_sent", "relative_error"):
        assert again[key] == uninterrupted[key]


def test_bytes_shrink_with_bits(tmp_path, uninterrupted):
    """Against fp32, less the overhead of headers and of the tensors sent uncompressed."""
    full = train(tmp_path / "none", "--updates", 2, "--compressor", "none")["bytes_per_update"]
    eight = train(tmp_path / "eight", "--updates", 2, "--bits", 8)["bytes_per_update"]
    assert 3 < full / eight < 4
    assert 5 < full / uninterrupted["bytes_per_update"] < 8


def kill_and_resume(
    out: Path, victim: int, stop_after: int, *arguments: object, killed: Callable[[], None] = lambda: None
) -> dict:
    """Kills one rank after an update, resumes from the last checkpoint, and returns the summary.

    ``killed`` is called in between.
    """
    job = subprocess.Popen(
        gan("--out", out, *QUICK, *arguments, "--checkpoint-every", 3.5, "--log-every", 1),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    metrics = out / "metrics.csv"
    launch.until(lambda: metrics.exists() and metrics.read_text().count("\n") > stop_after, 120, "updates")
    os.kill(ranks_of(out)[victim], signal.SIGKILL)
    job.communicate(timeout=60)
    assert job.returncode != 0
    launch.until(lambda: not ranks_of(out), 10, "all ranks to end")
    assert not (out / "summary.json").exists()
    killed()

    done = launch.run(gan("--resume", out))
    assert done.returncode == 0, done.stderr
    return summary(out)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killed_at_a_random_update_and_resumed_it_ends_the_same(tmp_path, uninterrupted, victim):
    stop_after = random.Random(victim).randint(5, 40)
    resumed = kill_and_resume(tmp_path / "run", victim, stop_after, "--updates", 60)
    assert resumed["replica_hash"] == uninterrupted["replica_hash"]


def test_killed_while_scoring_and_resumed_it_ends_the_same(tmp_path, uninterrupted):
    """An update's metrics are written before it is scored; nothing is scored in the run that it is held against."""
    out = tmp_path / "run"
    scored = ("--updates", 60, "--score-every", 20, "--score-samples", 20000)
    resumed = kill_and_resume(out, 1, 20, *scored, killed=lambda: check_scored(out, []))
    assert resumed["replica_hash"] == uninterrupted["replica_hash"]
    check_scored(out, ["20", "40", "60"])


def check_scored(out: Path, updates: list[str]) -> None:
    lines = (out / "scores.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == updates


def test_levels_move_and_survive_a_kill(tmp_path):
    """Adaptive levels in Huffman's code; the second level update, before update 20, comes after the kill."""
    learning = ("--compressor", "alq", "--bits", 3, "--coding", "huffman", "--levels-at", "0,20", "--updates", 40)
    whole = train(tmp_path / "whole", *learning)
    resumed = kill_and_resume(tmp_path / "run", 1, 10, *learning)
    for key in ("replica_hash", "bytes_sent", "losses"):
        assert resumed[key] == whole[key]
    tables = [(tmp_path / name / "levels.csv").read_text() for name in ("whole", "run")]
    assert tables[0] == tables[1]
    assert [line.split(",")[:2] for line in tables[0].splitlines()[1:]] == [["1", "1"], ["21", "2"]]
    plain = train(tmp_path / "plain", *learning, "--coding", "none")
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
        (["--expect-ranks", 4], "expected 4 ranks but there are 3"),
        (["--batch-size", 2], "a batch of 2 cannot be split over 3 ranks"),
        (["--bits", 9], "bits must be from 1 to 8, not 9"),
    ],
)
def test_bad_input_is_said_once(tmp_path, arguments, sentence):
    result = launch.run(gan("--out", tmp_path / "run", *QUICK, *arguments))
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
