"""Ranks of torch.distributed, under the real torchrun; in-process ranks say what is right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.transport import inprocess
from tests import launch
from tests.multiprocess import threads
from tests.multiprocess.ddp import CASES
from tests.multiprocess.distributed import found_on

ROOT = str(Path(__file__).parents[2])
PROGRAM = str(Path(__file__).with_name("distributed.py"))
HOOK = str(Path(__file__).with_name("ddp.py"))
ENDS = """
import os, signal, torch
from hvd_qgenx.cli.session import exit_codes
with exit_codes() as session:
    transport = session.initialize(3, 1)
    if transport.rank == 1:
        {end}
    mean = transport.all_reduce_mean(torch.zeros(5), "that rank 1 never joins")
    print("the others wait", flush=True)
    mean.wait()
"""

pytestmark = pytest.mark.usefixtures("one_thread")


def test_everything_agrees_with_threads(tmp_path):
    file = tmp_path / "distributed.json"
    done = launch.run(launch.torchrun(4, sys.executable, PROGRAM, str(file)), PYTHONPATH=ROOT)
    assert done.returncode == 0, done.stderr
    expected = json.loads(json.dumps(inprocess.run(4, found_on, hosts=2)))
    assert json.loads(file.read_text()) == expected
    assert len(expected[0]["collectives"]) == 7
    assert len(expected[0]["exchanges"]) > 100


def test_a_gan_has_the_bits_of_threads(tmp_path):
    words = ["--filters", "4", "--latent", "8", "--batch-size", "9", "--updates", "3", "--out", str(tmp_path / "run")]
    done = launch.run(launch.torchrun(3, launch.COMMAND, "gan", *words))
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    config = GanConfig(filters=4, latent=8, batch_size=9, updates=3)
    expected = threads.train(3, config, tmp_path / "threads")
    assert summary["ranks"] == 3
    for what in ("replica_hash", "bytes_sent"):
        assert summary[what] == expected[what]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_lost_rank_is_named_in_bounded_time(end):
    done = launch.run(
        launch.torchrun(3, sys.executable, "-c", ENDS.format(end=end)), HOROVOD_STALL_SHUTDOWN_TIME_SECONDS="8"
    )
    assert done.returncode != 0
    assert "the others wait" in done.stdout
    assert "Error: rank 1 on host " in done.stderr
    assert "did not join the others in 8 s" in done.stderr


HOST = 'hostname "$0"; mount --bind "$1" /etc/hosts; shift; exec "$@"'
"""Runs a command on a host of its own name, with its own file of hosts."""


@pytest.mark.parametrize(
    ("interface", "sentence"),
    [
        ("", "the name of host a has the address 127.0.1.1 there, to which other hosts cannot connect; set"),
        ("lo", "GLOO_SOCKET_IFNAME names lo, by which other hosts cannot connect to host a; set"),
        ("eth,lo", "host a has no network interface called eth, as GLOO_SOCKET_IFNAME has it; set"),
    ],
)
def test_hosts_that_cannot_be_connected_to_are_told_at_once(tmp_path, interface, sentence):
    if subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("making hosts takes root's rights")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 a b\n")
    master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(launch.free_port()), "GLOO_SOCKET_IFNAME": interface}
    program = "from hvd_qgenx.cli.session import exit_codes\nwith exit_codes() as session: session.initialize(2, 2)"
    ranks = []
    for rank, name in enumerate("ab"):
        numbers = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        host = ["unshare", "--uts", "--mount", "sh", "-c", HOST, name, str(tmp_path / "hosts")]
        ranks.append(
            subprocess.Popen(
                [*host, sys.executable, "-c", program],
                env=launch.environment(**master, **numbers),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2], told
    assert told[0].startswith(f"Error: {sentence} GLOO_SOCKET_IFNAME to the network interface that joins the hosts")


def test_two_launchers_are_refused(tmp_path):
    words = [launch.COMMAND, "gan", "--updates", "1", "--out", str(tmp_path / "run")]
    done = launch.run(launch.torchrun(1, *words), OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="1")
    assert done.returncode != 0
    assert "Error: two launchers have started this process: torchrun, which sets RANK, and horovodrun" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_hook_of_ddp_has_the_bits_of_the_optimizer(tmp_path):
    file = tmp_path / "ddp.json"
    done = launch.run(launch.torchrun(3, sys.executable, HOOK, str(file)))
    assert done.returncode == 0, done.stderr
    everyone = json.loads(file.read_text())
    levels = everyone[0]["layers"]
    assert levels.keys() == {"first", "linear", "last"}
    assert len(set(map(tuple, levels.values()))) == 3
    for found in everyone:
        assert found.pop("layers") == levels
        assert found.pop("layers kept") is True
        refused = found.pop("refused")
        assert refused["unbound"] == "the hook's state has no model yet; call state.bind(model), on all ranks"
        assert "DDP exchanges a parameter of shape (300, 20) that the hook's state does not know" in refused["model"]
        assert "scales cannot follow updates" in refused["updates"]
        assert "can only be called once" in refused["registered twice"]
        assert "a second exchange begins in one backward pass: a state belongs to one model" in refused["two models"]
        assert "DDP exchanges no gradient of 1.4.bias, one of 6 parameters that" in refused["half a model"]
        assert f"DDP exchanges gradients among ranks [{found.pop('rank')}]" in refused["another group"]
        assert refused["no member"] in ("", "this rank is not in the process group of the hook's state")
        assert "gradients of 0.weight are sparse" in refused["sparse"]
        assert "payloads of minmax are no integers; use allgather or two-phase" in refused["exchange"]
        assert found.pop("own group") is found.pop("registered late") is True
        assert found.pop("accumulated") is True
        assert found.pop("uneven") == [4, 4, 4]
        assert found == {name: {"same": True, "bytes": True, "after restart": True} for name in CASES}
