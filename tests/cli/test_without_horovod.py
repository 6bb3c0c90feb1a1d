"""What works where Horovod is not installed, and what is said where it does not."""

import os
import socket
import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules.update({'horovod': None, 'mpi4py': None}); "
ONE_STEP = (
    "import torch, hvd_qgenx; x = torch.nn.Parameter(torch.ones(())); "
    "optimizer = hvd_qgenx.DistributedOptimizer(torch.optim.SGD([x], lr=1.5)); x.backward(); optimizer.step(); "
)
HOW = 'run `pip install "hvd-qgenx[horovod]"`, or `make install` in a checkout, or start ranks with torchrun'


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
    assert HOW in done.stderr


def test_elastic_ranks_say_how_to_get_horovod():
    code = "sys.argv = ['hvd-qgenx', 'gan', '--elastic']; from hvd_qgenx.cli import main; main()"
    done = python(code, HOROVOD_ELASTIC="1", HOROVOD_RANK="0")
    assert done.returncode == 2
    assert HOW in done.stderr


def test_the_python_interface_has_one_rank_without_a_launcher():
    done = python(ONE_STEP + "print(x.item(), hvd_qgenx.init().size)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["-0.5", "1"]


def test_the_python_interface_under_a_launcher_says_how_to_get_horovod():
    done = python(ONE_STEP, HOROVOD_RANK="0")
    assert done.returncode == 1
    assert "ConfigurationError: Horovod cannot be imported" in done.stderr
    assert HOW in done.stderr


def test_the_drop_in_says_how_to_get_horovod():
    done = python("import hvd_qgenx.torch")
    assert done.returncode == 1
    assert "ImportError: hvd_qgenx.torch is Horovod's API" in done.stderr
    assert 'pip install "hvd-qgenx[horovod]"' in done.stderr


def test_the_doctor_says_what_works():
    done = python("sys.argv = ['hvd-qgenx', 'doctor']; from hvd_qgenx.cli import main; main()")
    assert "not installed: one process and torchrun work, horovodrun and hvd_qgenx.torch do not" in done.stdout
    assert 'pip install "hvd-qgenx[horovod]"' in done.stdout
    assert "error" not in "".join(line for line in done.stdout.splitlines() if "Horovod" in line or "mpi4py" in line)


@pytest.mark.parametrize(
    ("words", "printed"),
    [(["doctor"], "One rank alone exchanges nothing"), (["bench", "exchange", "--numel", "1e3"], "1,000 gradients")],
)
def test_ranks_of_torchrun_need_no_horovod(words, printed):
    code = f"sys.argv = ['hvd-qgenx', *{words}]; from hvd_qgenx.cli import main; main()"
    world = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = python(code, **world, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    assert printed in done.stdout, done.stderr
