"""hvd-qgenx classify under the real horovodrun: killed and resumed, it repeats what threads do.

On two ranks: uncompressed tensors are added by Horovod, in an order that on more ranks is not that of threads.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from tests import launch
from tests.multiprocess import threads

SETTINGS = {
    **{"model": "resnet8", "batch_size": 24, "augmentation": "crop-flip", "split": "dirichlet", "seed": 3},
    **{"compressor": "intsgd", "coding": "huffman", "feedback": "error"},
}
WORDS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
EPOCHS = 1.5

pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _horovod() -> None:
    launch.require_horovod()


def classify(*arguments: object) -> list[str]:
    return launch.horovodrun(2, launch.COMMAND, "classify", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.usefixtures("one_thread")
def test_killed_in_the_middle_of_an_epoch_and_resumed_it_ends_as_threads_do_without(tmp_path):
    out = tmp_path / "run"
    job = subprocess.Popen(
        classify("--out", out, *WORDS, "--epochs", EPOCHS, "--checkpoint-every", 7, "--log-every", 1),
        env=launch.environment(),
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
    expected = threads.train(2, ClassifyConfig(**SETTINGS, epochs=EPOCHS), tmp_path / "threads")
    for key in ("replica_hash", "bytes_sent", "scores", "best"):
        assert summary(out)[key] == expected[key]
