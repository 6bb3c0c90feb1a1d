"""hvd-qgenx classify on three ranks, under the real horovodrun: repeats on threads, resumes after a kill."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.task import ClassifyTask
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from tests import launch

SETTINGS = {"model": "resnet8", "batch_size": 24, "augmentation": "crop-flip", "split": "dirichlet", "seed": 3}
WORDS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
EPOCHS = 2

pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _horovod() -> None:
    launch.require_horovod()


def classify(*arguments: object) -> list[str]:
    return launch.horovodrun(3, launch.COMMAND, "classify", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    launch.require_horovod()
    out = tmp_path_factory.mktemp("classify") / "run"
    result = launch.run(classify("--out", out, *WORDS, "--epochs", EPOCHS))
    assert result.returncode == 0, result.stderr
    return summary(out)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """One torch thread, as ranks have, so that sums in convolutions are taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_threads_end_in_the_same_replicas_bytes_and_scores(uninterrupted):
    def work(transport):
        config = ClassifyConfig(**SETTINGS, epochs=float(EPOCHS)).completed()
        run = Trainer(ClassifyTask(config, ClassifyTask.load(config, transport, download=False), transport))
        while run.updates < run.task.updates:
            run.advance()
        return run.replica_hash(), run.report.bytes_sent, run.task.evaluate(run.updates)

    expected = tuple(uninterrupted[key] for key in ("replica_hash", "bytes_sent", "scores"))
    assert inprocess.run(3, work)[0] == expected


def test_killed_in_the_middle_of_an_epoch_and_resumed_it_ends_the_same(tmp_path, uninterrupted):
    out = tmp_path / "run"
    job = subprocess.Popen(
        classify("--out", out, *WORDS, "--epochs", EPOCHS, "--checkpoint-every", 7, "--log-every", 1),
        env={**os.environ, "OMP_NUM_THREADS": "1", "HVD_QGENX_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = out / "metrics.csv"
    launch.until(lambda: metrics.exists() and metrics.read_text().count("\n") > 25, 120, "updates")
    ranks = [pid for pid, words in launch.command_lines() if launch.runs_command(words) and str(out) in words]
    os.kill(sorted(ranks)[1], signal.SIGKILL)
    job.communicate(timeout=60)
    assert job.returncode != 0
    assert not (out / "summary.json").exists()

    done = launch.run(classify("--resume", out))
    assert done.returncode == 0, done.stderr
    for key in ("replica_hash", "scores", "best"):
        assert summary(out)[key] == uninterrupted[key]
