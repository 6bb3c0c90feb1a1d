"""Manifests started as the operator would: their launchers' words, on three hosts that have their workers' names."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob.templates import STOP
from tests.cluster.hosts import FOLDERS, NAMES, Hosts, missing, three_hosts
from tests.launch import until
from tests.mpijob.files import DEMO, ELASTIC, ROOT, container

pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Hosts that know each other by the names of the jobs' workers."""
    with three_hosts("1gbit", tmp_path / "hosts") as up:
        pairs = zip(workers("cpu-demo"), workers("elastic"), strict=True)
        lines = [f"10.77.0.{number + 1} {' '.join(names)}\n" for number, names in enumerate(pairs)]
        for name in NAMES:
            with (FOLDERS / name / "hosts").open("a") as file:  # in place: it is mounted already
                file.writelines(lines)
        yield up


def workers(job: str) -> list[str]:
    return [f"{job}-worker-{number}.{job}.default.svc" for number in range(3)]


def injected(job: dict[str, Any], folder: Path) -> dict[str, str]:
    """What the operator puts into the launcher's environment, and what the manifest does."""
    own = {entry["name"]: entry["value"] for entry in container(job, "Launcher")["env"]}
    return {
        **own,
        "OMP_NUM_THREADS": "1",  # three hosts share the cores of one machine
        "HVD_QGENX_THREADS": "1",
        "K_MPI_JOB_ROLE": "launcher",
        "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
        "OMPI_MCA_orte_default_hostfile": str(folder / "hostfile"),
        "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10",
        "OMPI_MCA_orte_set_default_slots": "1",
        "NVIDIA_VISIBLE_DEVICES": "",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",  # which the pods do not
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def launch(hosts: Hosts, folder: Path, manifest: str, *options: str) -> "subprocess.Popen[bytes]":
    """Starts the launcher of a manifest; only the places of the operator's files and of the runs are others."""
    (job,) = mpijob.load((ROOT / manifest).read_text(), manifest)
    names = workers(job["metadata"]["name"])
    (folder / "hostfile").write_text("".join(f"{name} slots=1\n" for name in names))
    tell_of(folder, names)
    pod = container(job, "Launcher")
    places = {"/runs/": f"{folder}/", "/etc/mpi/": f"{folder}/"}
    words = [*pod["command"], *pod["args"]]
    for place, ours in places.items():
        words = [word.replace(place, ours) for word in words]
    environment = {**hosts.environment, **injected(job, folder)}
    with (folder / "log").open("ab") as log:
        # `Hosts.start` has an environment of its own
        return Hosts(hosts.a, hosts.b, hosts.c, environment).start(*words, *options, stdout=log, stderr=log)


def tell_of(folder: Path, names: list[str]) -> None:
    """Renews discover_hosts.sh, which names the workers that run."""
    new = folder / "new"
    new.write_text("#!/bin/sh\n" + "".join(f"echo {name}\n" for name in names))
    new.chmod(0o755)
    new.replace(folder / "discover_hosts.sh")


SMALL = ("--filters", "4", "--latent", "8", "--batch-size", "12")


def test_a_job_that_is_asked_to_stop_goes_on_when_it_is_begun_again(hosts: Hosts, tmp_path: Path) -> None:
    """A rank is asked, as the hook of a worker that has to go does; then the launcher is started once more."""
    run = tmp_path / "cpu-demo"
    metrics = run / "metrics.csv"
    launcher = launch(hosts, tmp_path, DEMO, *SMALL, "--updates", "100000", "--log-every", "1")
    until(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, 120, "training three updates")
    assert not (run / "checkpoint.pt").exists()
    os.kill(hosts.b.ranks()[0], signal.SIGTERM)
    assert launcher.wait(timeout=120) == 143, (tmp_path / "log").read_text()
    done = updates(metrics)
    until(lambda: not any(host.ranks() for host in hosts), 10, "ending all ranks")

    again = launch(hosts, tmp_path, DEMO, *SMALL, "--updates", str(len(done) + 2), "--log-every", "1")
    assert again.wait(timeout=120) == 0, (tmp_path / "log").read_text()
    assert updates(metrics) == [*done, len(done) + 1, len(done) + 2] == list(range(1, len(done) + 3))
    assert json.loads((run / "summary.json").read_text())["ranks"] == 3


def test_an_elastic_job_goes_on_without_a_worker_that_is_deleted_and_takes_in_the_next(
    hosts: Hosts, tmp_path: Path
) -> None:
    """A deleted worker's rank ends with its pod; the operator makes another of the same name."""
    run, names = tmp_path / "elastic", workers("elastic")
    launcher = launch(hosts, tmp_path, ELASTIC, *SMALL, "--log-every", "1", "--updates", "100000")
    ranks, metrics = run / "ranks.csv", run / "metrics.csv"

    def trains_with(count: int) -> bool:
        assert launcher.poll() is None, (tmp_path / "log").read_text()
        if not (ranks.exists() and metrics.exists()):
            return False
        latest = list(csv.DictReader(ranks.read_text().splitlines()))[-1]
        return int(latest["ranks"]) == count and updates(metrics)[-1:] > [int(latest["update"])]

    until(lambda: trains_with(3), 120, "training on three workers")
    tell_of(tmp_path, names[:2])
    os.kill(hosts.c.ranks()[0], signal.SIGKILL)
    until(lambda: trains_with(2), 120, "training on two workers")
    tell_of(tmp_path, names)
    until(lambda: trains_with(3), 180, "training on three workers again")
    os.kill(hosts.a.ranks()[0], signal.SIGTERM)  # as the hook of the launcher does
    assert launcher.wait(timeout=120) != 0
    log = (tmp_path / "log").read_text()
    assert f"Stopped by SIGTERM after update {updates(metrics)[-1]}; go on with" in log, log
    assert (run / "checkpoint.pt").exists()


def updates(metrics: Path) -> list[int]:
    """Those that a run has logged."""
    return [int(row.partition(",")[0]) for row in metrics.read_text().splitlines()[1:]]


RANK = """
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
pathlib.Path(sys.argv[2]).write_text("a checkpoint")
"""

POD = """
import pathlib, subprocess, sys
rank, written, stop = sys.argv[1:]
ranks = [subprocess.Popen([sys.executable, rank, "gan", f"{written}-{n}"], stdout=subprocess.PIPE) for n in range(2)]
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", rank, ""])
for each in ranks:
    assert each.stdout.readline() == b"ready\\n"
subprocess.run(["sh", "-c", stop], check=True, timeout=60)
assert all(pathlib.Path(f"{written}-{n}").exists() for n in range(2)), "the hook did not wait"
assert other.poll() is None, "the hook asked another process to stop"
"""


def test_the_hook_of_a_worker_waits_for_its_ranks(tmp_path: Path) -> None:
    rank = tmp_path / "hvd-qgenx"
    rank.write_text(RANK)
    pod = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", POD]  # sees none but its own processes
    done = subprocess.run(
        [*pod, str(rank), str(tmp_path / "written"), STOP], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
