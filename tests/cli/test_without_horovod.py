"""What works where Horovod is not installed, and what is said where it does not."""

import os
import subprocess
import sys

BLOCKED = "import sys; sys.modules.update({'horovod': None, 'mpi4py': None}); "


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_both_packages_import():
    done = python("import compressors, hvd_qgenx; print(compressors.names(), hvd_qgenx.ExtraAdam.__name__)")
    assert done.returncode == 0, done.stderr
    assert "ExtraAdam" in done.stdout


def test_commands_work_in_one_process(tmp_path):
    code = f"sys.argv = ['hvd-qgenx', 'bilinear', '--out', {str(tmp_path / 'run')!r}]; "
    done = python(code + "from hvd_qgenx.cli import main; main()")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "bilinear.png").exists()


def test_a_classifier_trains_in_one_process(tmp_path):
    words = ["hvd-qgenx", "classify", "--epochs", "1", "--model", "mlp", "--bits", "4", "--out", str(tmp_path / "run")]
    done = python(f"sys.argv = {words!r}; from hvd_qgenx.cli import main; main()")
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout


def test_under_a_launcher_it_says_how_to_get_horovod():
    code = "sys.argv = ['hvd-qgenx', 'gan']; from hvd_qgenx.cli import main; main()"
    done = python(code, OMPI_COMM_WORLD_RANK="0")
    assert done.returncode == 2
    assert "Horovod cannot be imported" in done.stderr
    assert "make install" in done.stderr


def test_the_python_interface_says_how_to_get_horovod():
    code = "import torch; from hvd_qgenx import DistributedOptimizer; x = torch.zeros(1, requires_grad=True); "
    done = python(code + "DistributedOptimizer(torch.optim.SGD([x], lr=1.0))")
    assert done.returncode == 1
    assert "ConfigurationError: Horovod cannot be imported" in done.stderr
    assert "make install" in done.stderr
