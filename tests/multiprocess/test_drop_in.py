"""Scripts of Horovod's with one import changed, under the real horovodrun."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import launch

HERE = Path(__file__).parent
SCRIPT = """
import sys, time
import torch
import {module} as hvd
hvd.init()
import compressors
from hvd_qgenx import DistributedOptimizer
net = torch.nn.Linear(8, 8)
optimizer = DistributedOptimizer(
    torch.optim.SGD(net.parameters(), lr=0.01), net.named_parameters(), compressors.make({compressor!r})
)
for step in range({steps}):
    optimizer.zero_grad()
    net(torch.randn(4, 8)).square().mean().backward()
    optimizer.step()
{end}
"""

pytestmark = pytest.mark.horovod


@pytest.fixture(scope="module", params=[(2, "--mpi"), (3, "--mpi"), (2, "--gloo")], ids=["2", "3", "2-gloo"])
def found(request) -> dict[tuple[str, str], list[Any]]:
    """What the ranks found, by scenario and compressor."""
    ranks, controller = request.param
    launcher, *command = launch.horovodrun(ranks, sys.executable, str(HERE / "drop_in.py"))
    done = launch.run([launcher, controller, *command], HOROVOD_DYNAMIC_PROCESS_SETS="1")
    assert done.returncode == 0, done.stderr
    results: dict[tuple[str, str], list[Any]] = {}
    for line in launch.untagged(done.stdout).splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            results.setdefault((row["scenario"], row["compressor"]), []).append(row["found"])
    assert {len(rows) for rows in results.values()} == {ranks}
    return results


@pytest.mark.parametrize("compressor", ["none", "minmax"])
class TestScenarios:
    def test_rank_0_alone_loads_a_checkpoint(self, found, compressor):
        for kept, same, steps in found["resume", compressor]:
            assert (kept, same) == (True, True)
            assert len(set(steps)) == 1

    def test_elastic_state_of_a_rank_that_has_joined(self, found, compressor):
        assert all(each == [True, True, True] for each in found["joined", compressor])

    def test_one_loss_over_two_optimizers(self, found, compressor):
        rows = found["joint", compressor]
        rounding = {"none": 0.0 if len(rows) == 2 else 1e-6, "minmax": 0.05}[compressor]
        assert all(same and difference <= rounding for same, difference in rows)
        assert compressor == "none" or all(difference > 0 for _, difference in rows)

    def test_an_optimizer_for_each_player(self, found, compressor):
        assert all(found["game", compressor])

    def test_an_overflow_of_one_rank_is_skipped_by_all(self, found, compressor):
        assert all(each == [[2], 2.0**9, True] for each in found["scaled", compressor])

    def test_sparse_gradients(self, found, compressor):
        assert all(same and values > 50 for same, values in found["embedding", compressor])

    def test_a_process_set(self, found, compressor):
        assert all(each == [1, 2] for each in found["process_set", compressor])


def script(compressor: str, steps: str, end: str, module: str = "horovod.torch") -> str:
    return SCRIPT.format(compressor=compressor, steps=steps, end=end, module=module)


def ends(code: str) -> tuple[int, str]:
    """The exit code of two ranks, and what they print as errors."""
    done = launch.run(launch.horovodrun(2, sys.executable, "-c", code))
    return done.returncode, launch.untagged(done.stderr)


@pytest.mark.parametrize(
    ("compressor", "module"), [("none", "horovod.torch"), ("minmax", "horovod.torch"), ("minmax", "hvd_qgenx.torch")]
)
def test_a_rank_that_ends_early_is_named(compressor, module):
    code, errors = ends(script(compressor, "5 + 3 * hvd.rank()", "", module))
    assert code == 1
    assert "rank 0 on host " in errors
    assert "has ended, so the others cannot go on" in errors
    assert "MPI_FINALIZE" not in errors
    assert "Segmentation fault" not in errors


def test_a_rank_that_joins_is_named():
    code, errors = ends(script("minmax", "5 + 3 * hvd.rank()", "hvd.join()"))
    assert code == 1
    assert "has called hvd.join(), which compressed exchanges do not support; give all ranks as many batches" in errors


def test_ranks_may_join_without_compression_or_together():
    alone = script("none", "5 + 3 * hvd.rank()", "hvd.join()")
    together = script("minmax", "5", "hvd.join()\noptimizer.synchronize()", "hvd_qgenx.torch")
    code, errors = ends(alone + together)
    assert code == 0, errors


def test_ranks_that_a_launcher_started_but_horovod_leaves_alone_are_refused():
    world = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3"}
    done = launch.run([sys.executable, "-c", script("none", "1", "")], **world)
    assert done.returncode == 1
    assert "the launcher started 3 ranks but Horovod sees 1: each would do all the work alone" in done.stderr


def test_init_does_what_hvd_init_leaves_out():
    code = (
        "import hvd_qgenx, os, horovod.torch as hvd; transport = hvd_qgenx.init(ranks=2); assert hvd.size() == 2; "
        "print(transport.rank, os.environ['HOROVOD_STALL_SHUTDOWN_TIME_SECONDS'])"
    )
    done = launch.run(launch.horovodrun(2, sys.executable, "-c", code))
    assert done.returncode == 0, done.stderr
    assert sorted(launch.untagged(done.stdout).split()) == ["0", "1", "180", "180"]
    done = launch.run([sys.executable, "-c", code])
    assert done.returncode == 1
    assert "expected 2 ranks but there are 1; start with `horovodrun -np 2`" in done.stderr
