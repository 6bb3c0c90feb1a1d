"""jobs/slurm and jobs/hosts, with programs in place of Slurm's and Horovod's that tell what they were asked."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.launch import until
from tests.mpijob.files import ROOT

SBATCH, TRAIN = ROOT / "jobs/slurm/gan.sbatch", ROOT / "jobs/hosts/train.sh"
TELL = """#!/bin/sh
printf '%s\\n' "$OMP_NUM_THREADS" "$@" > "{folder}/$(basename "$0")"
"""
SRUN = (
    TELL
    + """
trap 'exit {code}' TERM
echo $$ > "{folder}/pid"
while true; do sleep 0.05; done
"""
)
SCANCEL = TELL + 'kill -TERM "$(cat "{folder}/pid")"\n'


def programs(folder: Path, code: int = 143, **texts: str) -> dict[str, str]:
    """Makes programs, and the environment in which they are found."""
    for name, text in texts.items():
        (folder / f"bin-{name}").mkdir()
        path = folder / f"bin-{name}" / name
        path.write_text(text.replace("{folder}", str(folder)).replace("{code}", str(code)))
        path.chmod(0o755)
    places = ":".join(str(folder / f"bin-{name}") for name in texts)
    return {**os.environ, "PATH": f"{places}:{os.environ['PATH']}"}


def told(folder: Path, program: str) -> list[str]:
    return (folder / program).read_text().splitlines()


@pytest.mark.parametrize(("code", "requeued"), [(143, True), (0, False)])
def test_a_slurm_job_that_is_stopped_waits_for_its_ranks_and_is_requeued(tmp_path, code, requeued):
    environment = programs(tmp_path, code, srun=SRUN, scancel=SCANCEL, scontrol=TELL)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_NNODES": "3", "SLURM_CPUS_PER_TASK": "5"}
    job = subprocess.Popen([SBATCH, "--preset", "uq 4"], env=environment | slurm, stdout=subprocess.DEVNULL)
    until(lambda: (tmp_path / "pid").exists(), 30, "starting ranks")
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == code
    assert told(tmp_path, "scancel")[1:] == ["--signal=TERM", "7.0"]
    assert (tmp_path / "scontrol").exists() == requeued
    if requeued:
        assert told(tmp_path, "scontrol")[1:] == ["requeue", "7"]
    words = told(tmp_path, "srun")
    assert words[0] == "5"
    own = ["--expect-ranks", "3", "--expect-hosts", "3", "--out", "runs/slurm-7", "--continue"]
    assert words[words.index("hvd-qgenx") :] == ["hvd-qgenx", "gan", *own, "--preset", "uq 4"]


def test_a_slurm_job_that_fails_by_itself_is_not_requeued(tmp_path):
    environment = programs(tmp_path, srun=TELL + "exit 2", scontrol=TELL)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_NNODES": "3"}
    assert subprocess.run([SBATCH], env=environment | slurm, timeout=30).returncode == 2
    assert not (tmp_path / "scontrol").exists()


def train(folder: Path, hosts: str, environment: str, *words: str) -> "subprocess.CompletedProcess[str]":
    (folder / "hosts").write_text(hosts)
    (folder / "environment").write_text(environment)
    files = {"HVD_QGENX_HOSTS": str(folder / "hosts"), "HVD_QGENX_ENVIRONMENT": str(folder / "environment")}
    found = programs(folder, horovodrun=TELL)
    return subprocess.run([TRAIN, *words], env=found | files, capture_output=True, text=True, timeout=30)


def test_plain_hosts_are_those_of_the_file(tmp_path):
    done = train(
        tmp_path, "# ours\na slots=2 # two\n\nb", "# x\nOMP_NUM_THREADS=$(id) 9\n", "runs/x", "--label", "a  b"
    )
    assert done.returncode == 0, done.stderr
    assert told(tmp_path, "horovodrun") == [
        "$(id) 9",  # as it stands
        *("-np", "3", "-H", "a:2,b:1", "--disable-cache", "hvd-qgenx", "gan"),
        *("--expect-ranks", "3", "--expect-hosts", "2", "--out", "runs/x", "--continue", "--label", "a  b"),
    ]


@pytest.mark.parametrize(
    ("hosts", "environment", "words", "sentence"),
    [
        ("a many", "", ["runs/x"], "after a must stand slots=NUMBER"),
        ("# a", "", ["runs/x"], "names no host"),
        ("a", "a-b=1", ["runs/x"], "'a-b' is no name of a variable"),
        ("a", "", [], "jobs/hosts/train.sh runs/cifar --preset uq4"),
        ("a", "", ["--preset", "uq4"], "jobs/hosts/train.sh runs/cifar --preset uq4"),
    ],
)
def test_what_plain_hosts_cannot_start_with_is_told(tmp_path, hosts, environment, words, sentence):
    done = train(tmp_path, hosts, environment, *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "horovodrun").exists()
