"""hvd-qgenx vae under the real horovodrun: killed and resumed, it repeats what threads do."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from hvd_qgenx.tasks.vae.settings import VaeConfig
from tests import launch
from tests.multiprocess import threads

SETTINGS = {"width": 64, "latent": 5, "batch_size": 24, "seed": 3, "epochs": 1.5, "compressor": "minmax", "bits": 4}
SETTINGS |= {"objective": "beta-tc", "kl_weight": 4.0, "importance_samples": 3}

pytestmark = pytest.mark.horovod


def vae(ranks: int, *arguments: object) -> list[str]:
    return launch.horovodrun(ranks, launch.COMMAND, "vae", *(str(argument) for argument in arguments))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.usefixtures("one_thread")
def test_killed_in_the_middle_of_an_epoch_and_resumed_it_ends_as_threads_do_without(tmp_path):
    out = tmp_path / "run"
    words = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    job = subprocess.Popen(
        vae(2, "--out", out, *words, "--checkpoint-every", 7, "--log-every", 1),
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

    done = launch.run(vae(2, "--resume", out))
    assert done.returncode == 0, done.stderr
    settings = {name: value for name, value in SETTINGS.items() if name != "bits"}
    config = VaeConfig(**settings, compressor_parameters={"bits": SETTINGS["bits"]})
    expected = threads.train(2, config, tmp_path / "threads")
    for key in ("replica_hash", "bytes_sent", "scores", "best"):
        assert summary(out)[key] == expected[key]
    for file in ("000061.png", "000091.png"):
        assert (out / "samples" / file).exists()
