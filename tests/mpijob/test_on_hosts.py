"""The manifest of the CPU demo, started as the operator would: its launcher's words, on three hosts of its names."""

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
from hvd_qgenx.mpijob.manifest import STOP
from tests.cluster.hosts import FOLDERS, NAMES, Hosts, missing, three_hosts
from tests.launch import until
from tests.mpijob.files import DEMO, ROOT, container

pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Hosts that know each other by the names of the demo's workers."""
    with three_hosts("1gbit", tmp_path / "hosts") as up:
        lines = [f"10.77.0.{number + 1} {worker}\n" for number, worker in enumerate(workers())]
        for name in NAMES:
            with (FOLDERS / name / "hosts").open("a") as file:  # in place: it is mounted already
                file.writelines(lines)
        yield up


def workers() -> list[str]:
    return [f"cpu-demo-worker-{number}.cpu-demo.default.svc" for number in range(3)]


def injected(job: dict[str, Any], hostfile: Path) -> dict[str, str]:
    """What the operator puts into the launcher's environment, and what the manifest does."""
    own = {entry["name"]: entry["value"] for entry in container(job, "Launcher")["env"]}
    return {
        **own,
        "OMP_NUM_THREADS": "1",  # three hosts share the cores of one machine
        "HVD_QGENX_THREADS": "1",
        "K_MPI_JOB_ROLE": "launcher",
        "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
        "OMPI_MCA_orte_default_hostfile": str(hostfile),
        "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10",
        "OMPI_MCA_orte_set_default_slots": "1",
        "NVIDIA_VISIBLE_DEVICES": "",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",  # which the pods do not
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def launch(hosts: Hosts, folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Starts the launcher of cpu-demo.yaml; only the places of the hostfile and of the runs are others."""
    (job,) = mpijob.load((ROOT / DEMO).read_text(), DEMO)
    hostfile = folder / "hostfile"
    hostfile.write_text("".join(f"{worker} slots=1\n" for worker in workers()))
    pod = container(job, "Launcher")
    words = [word.replace("/runs/", f"{folder}/") for word in (*pod["command"], *pod["args"])]
    environment = {**hosts.environment, **injected(job, hostfile)}
    with (folder / "log").open("ab") as log:
        # `Hosts.start` has an environment of its own
        return Hosts(hosts.a, hosts.b, hosts.c, environment).start(*words, *options, stdout=log, stderr=log)


SMALL = ("--filters", "4", "--latent", "8", "--batch-size", "12")


def test_a_job_that_is_asked_to_stop_goes_on_when_it_is_begun_again(hosts: Hosts, tmp_path: Path) -> None:
    """A rank is asked, as the hook of a worker that has to go does; then the launcher is started once more."""
    run = tmp_path / "cpu-demo"
    metrics = run / "metrics.csv"
    launcher = launch(hosts, tmp_path, *SMALL, "--updates", "100000", "--log-every", "1")
    until(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, 120, "training three updates")
    assert not (run / "checkpoint.pt").exists()
    os.kill(hosts.b.ranks()[0], signal.SIGTERM)
    assert launcher.wait(timeout=120) == 143, (tmp_path / "log").read_text()
    done = updates(metrics)
    until(lambda: not any(host.ranks() for host in hosts), 10, "ending all ranks")

    again = launch(hosts, tmp_path, *SMALL, "--updates", str(len(done) + 2), "--log-every", "1")
    assert again.wait(timeout=120) == 0, (tmp_path / "log").read_text()
    assert updates(metrics) == [*done, len(done) + 1, len(done) + 2] == list(range(1, len(done) + 3))
    assert json.loads((run / "summary.json").read_text())["ranks"] == 3


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
