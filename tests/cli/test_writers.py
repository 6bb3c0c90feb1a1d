"""Two commands on the folder of one run: the second waits a little, and then either has all of it or says who does."""

import json
import shutil

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.runs import lock
from tests.holding import held_until_waited_for, holder

TRAIN = ("gan", "--filters", 4, "--latent", 8, "--batch-size", 8, "--log-every", 1, "--device", "cpu")


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of which one has gone further, with another seed."""
    path = tmp_path_factory.mktemp("runs")
    for seed, updates in ((0, 1), (1, 2)):
        result = call(*TRAIN, "--seed", seed, "--updates", updates, "--out", path / str(seed))
        assert result.exit_code == 0, result.output
    return path


def test_a_run_goes_on_from_what_another_process_has_left(runs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(runs / "0", run)

    def leave() -> None:
        shutil.copytree(runs / "1", run, dirs_exist_ok=True)

    with held_until_waited_for(monkeypatch, run, leave) as waited:
        result = call("gan", "--resume", run, "--updates", 3)
    assert waited
    assert result.exit_code == 0, result.output
    assert json.loads((run / "config.json").read_text())["seed"] == 1
    assert [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()] == ["update", "1", "2", "3"]


@pytest.mark.parametrize(
    ("words", "has_checkpoint"),
    [(("--resume",), True), (("--continue", "--out"), True), (("--continue", "--out"), False)],
)
def test_a_run_that_another_process_writes_is_left_alone(runs, tmp_path, monkeypatch, words, has_checkpoint):
    monkeypatch.setattr(lock, "PATIENCE", 0)
    run = tmp_path / "run"
    shutil.copytree(runs / "0", run)
    if not has_checkpoint:
        (run / "checkpoint.pt").unlink()
    with holder(run) as other:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        result = call(*TRAIN, *words, run)
    assert result.exit_code == 2
    assert f"{run} is in use by a run, process {other.pid} on " in result.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_showing_what_would_continue_changes_nothing(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "0", run)
    (run / "checkpoint.pt").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert call(*TRAIN, "--continue", "--out", run, "--show-config").exit_code == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert call(*TRAIN, "--continue", "--out", run, "--updates", 1).exit_code == 0  # begun again
    assert (run / "checkpoint.pt").exists()


@pytest.mark.parametrize("command", [("measure", "--draws", 1), ("game", "bilinear", "--iterations", 1)])
def test_what_cannot_be_continued_is_not_advised_to(tmp_path, command):
    (tmp_path / "config.json").write_text("{}")
    result = call(*command, "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path} already holds a run; choose another --out\n"
