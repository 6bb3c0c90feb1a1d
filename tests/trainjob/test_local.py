"""What TrainJobs of this project run, on this machine, with the environment that the operator would set."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hvd_qgenx import trainjob
from hvd_qgenx.trainjob.manifest import HOSTFILE, STOP_FIRST_NODE
from tests import launch
from tests.trainjob.files import JOB, good

BIN = str(Path(sys.executable).parent)
TINY = ("--filters", "4", "--latent", "8", "--batch-size", "8", "--updates", "2")


def job(launcher: str, nodes: int, run: Path) -> trainjob.Training:
    """A job with a tiny training. Its nodes are one host here."""
    expected = ("--expect-ranks", str(nodes), "--expect-hosts", "1")
    documents = good(launcher, workers=nodes, command=("gan", *expected, "--out", str(run), *TINY))
    found = trainjob.joined(documents[JOB], documents[:1])
    assert found is not None
    return found


def environment(training: trainjob.Training, **operators: str) -> dict[str, str]:
    own = {
        **training.variables,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "HVD_QGENX_THREADS": "1",
    }
    return {**os.environ, **own, **operators}


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_torchrun_of_every_node_finds_the_others_by_the_operator_s_variables(tmp_path):
    training = job("torch", 2, tmp_path / "run")
    port = str(launch.free_port())
    nodes = []
    for number in range(training.hosts):
        variables = environment(
            training,
            PET_NNODES=str(training.hosts),
            PET_NPROC_PER_NODE=str(training.per_node),
            PET_NODE_RANK=str(number),
            PET_MASTER_ADDR="127.0.0.1",  # a name of the cluster's
            PET_MASTER_PORT=port,
        )
        nodes.append(subprocess.Popen(training.words, env=variables, stderr=subprocess.PIPE, text=True))
    told = [node.communicate(timeout=launch.TIMEOUT)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    assert summary(tmp_path / "run")["ranks"] == 2


@pytest.mark.horovod
def test_mpirun_starts_the_ranks_of_the_operator_s_hostfile(tmp_path):
    training = job("mpi", 2, tmp_path / "run")
    (tmp_path / "hostfile").write_text("localhost slots=2\n")
    words = [word.replace(HOSTFILE, str(tmp_path / "hostfile")) for word in training.words]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # the pods' user is none
    operators = {"OMPI_MCA_orte_keep_fqdn_hostnames": "true", "OMPI_MCA_orte_set_default_slots": "1"}
    done = subprocess.run(
        words,
        env=environment(training, **root, **operators),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=launch.TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "run")["ranks"] == 2


def test_the_hook_of_a_launcher_calls_the_first_node(tmp_path):
    (tmp_path / "hostfile").write_text("job-node-0-0.job slots=1\njob-node-0-1.job slots=1\n")
    (tmp_path / "ssh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/told\n')
    (tmp_path / "ssh").chmod(0o755)
    words = [word.replace(HOSTFILE, str(tmp_path / "hostfile")) for word in STOP_FIRST_NODE]
    subprocess.run(words, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True, timeout=30)
    assert (tmp_path / "told").read_text() == f"job-node-0-0.job\n{STOP_FIRST_NODE[-1]}\n"
