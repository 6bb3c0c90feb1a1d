"""Commands check that their ranks have met, under the real launchers."""

import pytest

from tests import launch

pytestmark = pytest.mark.horovod


def test_a_process_that_a_launcher_started_but_horovod_leaves_alone_is_refused(tmp_path):
    """As where mpirun belongs to another MPI than Horovod: each would train by itself, and the job complete."""
    world = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3"}
    result = launch.run([launch.COMMAND, "gan", "--updates", "1", "--out", str(tmp_path / "run")], **world)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("Error: the launcher started 3 ranks but Horovod sees 1") == 1
    assert not (tmp_path / "run").exists()


def test_hosts_are_counted(tmp_path):
    """Open MPI 5 under the MPI operator runs all ranks on the launcher's host, and the job completes."""
    words = ["gan", "--expect-ranks", "2", "--expect-hosts", "2", "--out", str(tmp_path / "run")]
    result = launch.run(launch.horovodrun(2, launch.COMMAND, *words))
    assert result.returncode != 0
    assert "Exit code:    2" in result.stderr
    assert result.stderr.count("Error: expected ranks on 2 hosts but they are on 1; ") == 1
    assert result.stderr.count("1 found") == 1
    assert not (tmp_path / "run").exists()


def test_a_rank_with_another_package_is_named(tmp_path):
    """Of two ranks the second finds other metadata of NumPy first."""
    fake = tmp_path / "fake" / "numpy-1.2.3.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.2.3\n")
    same = ["-np", "1", launch.COMMAND, "gan", "--out", str(tmp_path / "run")]
    other = ["-x", f"PYTHONPATH={fake.parent}", *same]
    result = launch.run(["mpirun", "--allow-run-as-root", "--oversubscribe", *same, ":", *other])
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("Error: ranks have different versions of numpy; install the same on every host") == 1
    assert [line.split()[:2] for line in result.stderr.splitlines() if "1.2.3" in line] == [["1.2.3", "1"]]
    assert not (tmp_path / "run").exists()
