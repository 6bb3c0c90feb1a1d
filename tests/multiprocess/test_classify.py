"""hvd-qgenx classify under the real horovodrun: killed and resumed, it repeats what threads do.

With averages of gradients on two ranks: uncompressed tensors are added by Horovod, in an order that on more ranks is
not that of threads.
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

SHARED = {"batch_size": 24, "augmentation": "crop-flip", "split": "dirichlet", "seed": 3, "epochs": 1.5}
INTEGERS = {"model": "resnet8", "compressor": "intsgd", "coding": "huffman", "feedback": "error"}
GOSSIP = {"mixing": "choco", "topology": "one-peer-exponential", "compressor": "sign", "momentum": 0.0}
GOSSIP |= {"quasi_global_momentum": 0.9, "local_images": 100, "average_at_end": "no"}

pytestmark = pytest.mark.horovod


def classify(ranks: int, *arguments: object) -> list[str]:
    return launch.horovodrun(ranks, launch.COMMAND, "classify", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("ranks", "changes"), [(2, INTEGERS), (3, GOSSIP)], ids=["integers", "gossip"])
def test_killed_in_the_middle_of_an_epoch_and_resumed_it_ends_as_threads_do_without(ranks, changes, tmp_path):
    out, settings = tmp_path / "run", {**SHARED, **changes}
    words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    job = subprocess.Popen(
        classify(ranks, "--out", out, *words, "--checkpoint-every", 7, "--log-every", 1),
        env=launch.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = out / "metrics.csv"
    launch.until(lambda: metrics.exists() and metrics.read_text().count("\n") > 25, 120, "updates")
    processes = [pid for pid, words in launch.command_lines() if launch.runs_command(words) and str(out) in words]
    os.kill(sorted(processes)[1], signal.SIGKILL)
    job.communicate(timeout=60)
    assert job.returncode != 0
    assert not (out / "summary.json").exists()

    done = launch.run(classify(ranks, "--resume", out))
    assert done.returncode == 0, done.stderr
    expected = threads.train(ranks, ClassifyConfig(**settings), tmp_path / "threads")
    for key in ("replica_hash", "bytes_sent", "scores", "best"):
        assert summary(out)[key] == expected[key]
