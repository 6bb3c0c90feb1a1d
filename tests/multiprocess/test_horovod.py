"""The Horovod transport, under the real horovodrun."""

import json
import sys
from pathlib import Path

import pytest

from tests import launch

HERE = Path(__file__).parent


pytestmark = pytest.mark.horovod


@pytest.fixture(autouse=True)
def _horovod() -> None:
    launch.require_horovod()


@pytest.mark.parametrize("ranks", [2, 3])
def test_without_compression_it_is_stock_horovod(ranks):
    """Bit for bit on two ranks; on three, where the order of a sum depends on fusion, to rounding."""
    result = launch.run(launch.horovodrun(ranks, sys.executable, str(HERE / "stock_equivalence.py")))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("agrees") == ranks


@pytest.mark.parametrize("ranks", [1, 3])
def test_threads_and_horovod_give_the_same_bits(tmp_path, ranks):
    threads, horovod = tmp_path / "threads.json", tmp_path / "horovod.json"
    script = [sys.executable, str(HERE / "parity.py")]
    for command in (
        [*script, str(threads), str(ranks)],
        launch.horovodrun(ranks, *script, str(horovod)),
    ):
        done = launch.run(command)
        assert done.returncode == 0, done.stderr
    assert json.loads(threads.read_text()) == json.loads(horovod.read_text())
    assert len(json.loads(threads.read_text())) >= 15 * 8


def test_open_mpi_is_asked_for_the_ring_unless_the_user_chose(monkeypatch):
    monkeypatch.delenv("OMPI_MCA_mpi_yield_when_idle", raising=False)
    code = "import os; from hvd_qgenx.transport.horovod import Horovod; Horovod(); print(sorted(os.environ.items()))"
    done = launch.run([sys.executable, "-c", code], OMPI_MCA_coll_tuned_allreduce_algorithm="2")
    assert done.returncode == 0, done.stderr
    assert "('OMPI_MCA_coll_tuned_allreduce_algorithm', '2')" in done.stdout
    assert "('OMPI_MCA_coll_tuned_use_dynamic_rules', '1')" in done.stdout
    assert "('OMPI_MCA_btl_tcp_eager_limit', '262144')" in done.stdout
    assert "OMPI_MCA_mpi_yield_when_idle" not in done.stdout
    done = launch.run([sys.executable, "-c", code], OMPI_COMM_WORLD_LOCAL_SIZE="1000")
    assert "('OMPI_MCA_coll_tuned_allreduce_algorithm', '4')" in done.stdout
    assert "('OMPI_MCA_mpi_yield_when_idle', '1')" in done.stdout


def test_process_sets_are_set_up_for_several_ranks_on_each_of_several_hosts():
    code = "import os; from hvd_qgenx.transport.horovod import Horovod; Horovod(); print(sorted(os.environ.items()))"
    for local_size, set_up in (("1", False), ("2", True), ("4", False)):
        sizes = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": local_size}
        done = launch.run([sys.executable, "-c", code], **sizes)
        assert done.returncode == 0, done.stderr
        assert ("('HOROVOD_DYNAMIC_PROCESS_SETS', '1')" in done.stdout) == set_up


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
    for command in (
        [launch.COMMAND, "bilinear", *options, "--workers", "3", "--out", str(alone)],
        launch.horovodrun(3, launch.COMMAND, "bilinear", *options, "--out", str(together)),
    ):
        done = launch.run(command)
        assert done.returncode == 0, done.stderr
    assert (alone / "bilinear.csv").read_text() == (together / "bilinear.csv").read_text()
