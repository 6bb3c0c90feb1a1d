"""The Horovod transport, under the real horovodrun."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.transport import inprocess
from tests import launch
from tests.multiprocess.parity import digests

HERE = Path(__file__).parent
FORKS = """
import json, os, sys
from hvd_qgenx.transport.horovod import Horovod
for changes in json.loads(sys.argv[1]):
    if not os.fork():
        os.environ.update(changes)
        Horovod()
        print(json.dumps(dict(os.environ)), flush=True)
        os._exit(0)
    assert not os.wait()[1]
"""

pytestmark = pytest.mark.horovod


@pytest.mark.parametrize("ranks", [2, 3])
def test_without_compression_it_is_stock_horovod(ranks):
    """Bit for bit on two ranks; on three, where the order of a sum depends on fusion, to rounding."""
    result = launch.run(launch.horovodrun(ranks, sys.executable, str(HERE / "stock_equivalence.py")))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("agrees") == ranks


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("ranks", [1, 3])
def test_threads_and_horovod_give_the_same_bits(tmp_path, ranks):
    file = tmp_path / "horovod.json"
    done = launch.run(launch.horovodrun(ranks, sys.executable, str(HERE / "parity.py"), str(file)))
    assert done.returncode == 0, done.stderr
    threads = inprocess.run(ranks, digests)[0]
    assert json.loads(file.read_text()) == threads
    assert len(threads) >= 15 * 8


def environments(*changes: dict[str, str]) -> list[dict[str, str]]:
    """The environments that processes of their own have after Horovod's start, with these changes before it."""
    done = launch.run([sys.executable, "-c", FORKS, json.dumps(changes)])
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_open_mpi_is_asked_for_the_ring_unless_the_user_chose(monkeypatch):
    monkeypatch.delenv("OMPI_MCA_mpi_yield_when_idle", raising=False)
    chosen, crowded = environments(
        {"OMPI_MCA_coll_tuned_allreduce_algorithm": "2"}, {"OMPI_COMM_WORLD_LOCAL_SIZE": "1000"}
    )
    assert chosen["OMPI_MCA_coll_tuned_allreduce_algorithm"] == "2"
    assert chosen["OMPI_MCA_coll_tuned_use_dynamic_rules"] == "1"
    assert chosen["OMPI_MCA_btl_tcp_eager_limit"] == "262144"
    assert "OMPI_MCA_mpi_yield_when_idle" not in chosen
    assert crowded["OMPI_MCA_coll_tuned_allreduce_algorithm"] == "4"
    assert crowded["OMPI_MCA_mpi_yield_when_idle"] == "1"


def test_process_sets_are_set_up_for_several_ranks_on_each_of_several_hosts():
    sizes = ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": local} for local in ("1", "2", "4"))
    assert [each.get("HOROVOD_DYNAMIC_PROCESS_SETS") for each in environments(*sizes)] == [None, "1", None]


@pytest.mark.usefixtures("one_thread")
def test_bilinear_has_the_same_rows_with_workers_and_with_horovodrun(tmp_path):
    options = [
        "--compressor",
        "none",
        "--compressor",
        "uniform",
        "--bits",
        "3",
        "--noise",
        "0.1",
        "--dimension",
        "50",
        "--iterations",
        "30",
    ]
    alone, together = tmp_path / "alone", tmp_path / "together"
    done = launch.run(launch.horovodrun(3, launch.COMMAND, "bilinear", *options, "--out", str(together)))
    assert done.returncode == 0, done.stderr
    result = CliRunner().invoke(main, ["bilinear", *options, "--workers", "3", "--out", str(alone)])
    assert result.exit_code == 0, result.output
    assert (alone / "bilinear.csv").read_text() == (together / "bilinear.csv").read_text()
