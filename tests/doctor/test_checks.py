"""What checks say of machines that lack something, have it broken, or set it wrongly."""

import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from hvd_qgenx.data import DATASETS
from hvd_qgenx.doctor import checks, files, machine, mpi, software
from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding, Place, examine, merged

HERE = Place(Path("data"), Path("runs"))
RANK = Place(Path("data"), Path("runs"), rank=1, local_ranks=2, needs_horovod=True)


def absent(monkeypatch, *packages):
    """Makes imports fail as those of packages that are not there."""
    for package in packages:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)


def broken(monkeypatch, module, error):
    """Makes the import of a module that is there fail."""
    real = importlib.import_module

    def fail(name, *rest):
        if name == module:
            raise error
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.setattr(mpi, "is_installed", lambda _: True)


def stand_in(monkeypatch, version="0.28.1", mpi_built=True, nccl=0):
    """A Horovod of our own making."""
    module = types.SimpleNamespace(
        mpi_built=lambda: mpi_built, gloo_built=lambda: True, nccl_built=lambda: nccl, __file__=__file__
    )
    monkeypatch.setattr(mpi, "is_installed", lambda _: True)
    monkeypatch.setattr(importlib, "import_module", lambda _: module)
    monkeypatch.setattr(mpi.metadata, "version", lambda _: version)


def test_all_checks_answer():
    found = examine(checks.CHECKS, HERE)
    assert all(isinstance(finding, Finding) for finding in found)
    assert set(checks.ALIKE) | set(checks.NEEDED) <= {finding.subject for finding in found}
    assert all(finding.level in (OK, WARNING, ERROR) for finding in found)


def test_nothing_that_a_user_may_lack_stops_the_others(monkeypatch):
    absent(monkeypatch, "horovod", "mpi4py", "torchvision", "triton", "torch_fidelity")
    monkeypatch.setenv("PATH", "")
    found = {finding.subject: finding for finding in examine(checks.CHECKS, HERE)}
    assert not [finding for finding in found.values() if "cannot be checked" in finding.text]
    assert (found["Horovod"].level, found["Horovod"].mend) == (
        WARNING,
        'pip install "hvd-qgenx[horovod]", or make install in a checkout',
    )
    assert (found["mpi4py"].level, found["mpi4py"].mend) == (WARNING, "pip install mpi4py")
    assert found["torchvision"].level == ERROR
    assert found["ssh"].level == WARNING
    assert found["mpirun"].level in (WARNING, ERROR)


def test_a_check_that_fails_is_an_error():
    def looks_at_things(_):
        raise RuntimeError("the moon is out\nand more")

    (found,) = examine([looks_at_things], HERE)
    assert found == Finding("looks at things", ERROR, "cannot be checked: RuntimeError: the moon is out")


@pytest.mark.parametrize(("place", "level"), [(HERE, WARNING), (RANK, ERROR)])
def test_a_launcher_needs_horovod(monkeypatch, place, level):
    absent(monkeypatch, "horovod", "mpi4py")
    assert mpi.horovod(place).level == level
    assert mpi.mpi4py(place).level == level


def test_horovod_that_cannot_be_imported(monkeypatch):
    broken(monkeypatch, "horovod.torch", ImportError("undefined symbol: _ZN3c10"))
    found = mpi.horovod(HERE)
    assert found.level == ERROR
    assert "undefined symbol" in found.text
    assert "make install" in found.mend


def test_mpi4py_that_cannot_be_imported(monkeypatch):
    broken(monkeypatch, "mpi4py", RuntimeError("cannot load MPI library"))
    found = mpi.mpi4py(HERE)
    assert found.level == ERROR
    assert "cannot load MPI library" in found.text


def test_horovod_as_it_should_be(monkeypatch):
    stand_in(monkeypatch)
    found = mpi.horovod(HERE)
    assert found.level == OK
    assert "MPI, Gloo" in found.text


@pytest.mark.parametrize(
    ("build", "told"), [({"mpi_built": False}, "--gloo"), ({"version": "0.29.0"}, "only 0.28.1 has been tested")]
)
def test_horovod_built_otherwise(monkeypatch, build, told):
    stand_in(monkeypatch, **build)
    found = mpi.horovod(HERE)
    assert found.level == WARNING
    assert told in found.text


@pytest.mark.parametrize(("nccl", "level"), [(0, WARNING), (21805, OK)])
def test_gpus_want_nccl(monkeypatch, nccl, level):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    stand_in(monkeypatch, nccl=nccl)
    found = mpi.horovod(HERE)
    assert found.level == level
    assert "NCCL" in found.text


def with_libraries(monkeypatch, **versions):
    monkeypatch.setattr(mpi, "libraries", lambda: [Path(f"/lib/{name}") for name in versions])
    monkeypatch.setattr(mpi, "library_version", lambda path: versions[path.name])


@pytest.mark.parametrize(
    ("version", "level", "told"),
    [
        ("Open MPI v4.1.4", OK, "v4.1.4"),
        ("Open MPI v5.0.11", ERROR, "is known not to work"),
        ("MPICH Version:      4.0", WARNING, "only Open MPI 4.1"),
    ],
)
def test_mpi_libraries(monkeypatch, version, level, told):
    with_libraries(monkeypatch, libmpi=version)
    found = mpi.mpi_library(HERE)
    assert found.level == level
    assert told in found.text
    assert bool(found.mend) == (level != OK)


def test_two_mpi_libraries(monkeypatch):
    with_libraries(monkeypatch, one="Open MPI v4.1.4", other="MPICH Version: 4.0")
    found = mpi.mpi_library(HERE)
    assert found.level == ERROR
    assert "/lib/one and /lib/other" in found.text


@pytest.mark.parametrize(("place", "level"), [(HERE, WARNING), (RANK, ERROR)])
def test_no_mpi_library(monkeypatch, place, level):
    with_libraries(monkeypatch)
    assert mpi.mpi_library(place).level == level


@pytest.mark.parametrize(
    ("said", "level", "told"),
    [
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs", OK, "4.1.4"),
        ("mpirun (Open MPI) 5.0.1\n", ERROR, "of Open MPI 5.0.1, but Horovod runs on 4.1.4"),
        ("HYDRA build details:\n", WARNING, "is not Open MPI's"),
        ("", WARNING, "prints no version"),
    ],
)
def test_mpirun_against_the_library(monkeypatch, said, level, told):
    with_libraries(monkeypatch, libmpi="Open MPI v4.1.4")
    monkeypatch.setattr(mpi.shutil, "which", lambda _: "/usr/bin/mpirun")
    monkeypatch.setattr(mpi.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=said))
    found = mpi.mpirun(HERE)
    assert found.level == level
    assert told in found.text


def test_torchvision_that_cannot_be_imported(monkeypatch):
    def fail():
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(software, "import_torchvision", fail)
    found = software.torchvision(HERE)
    assert found.level == ERROR
    assert "nms does not exist" in found.text
    assert "pip install" in found.mend


def test_torchvision_of_another_build(monkeypatch):
    monkeypatch.setattr(software, "import_torchvision", lambda: types.SimpleNamespace(__version__="0.28.0+cu130"))
    monkeypatch.setattr(torch.version, "cuda", None)
    found = software.torchvision(HERE)
    assert found.level == OK
    assert "but torch for CPU" in found.text


def test_torch_for_gpus_without_one(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = software.torch_build(HERE)
    assert found.level == WARNING
    assert "built for CUDA 13.0" in found.text


def test_kernels_that_are_not_compiled(monkeypatch):
    monkeypatch.setattr(software.kernels, "implementation", lambda _: "torch")
    found = software.cpu_kernels(HERE)
    assert (found.level, found.mend) == (WARNING, "pip install numba")


def test_python_without_distutils(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(software, "is_installed", lambda package: package == "horovod")
    assert software.python(HERE).level == ERROR
    monkeypatch.setattr(software, "is_installed", lambda _: False)
    assert software.python(HERE).level == OK


def test_more_ranks_than_cores(monkeypatch):
    monkeypatch.setattr(machine, "process_cores", lambda: 1)
    assert machine.processor(HERE).level == OK
    found = machine.processor(RANK)
    assert found.level == WARNING
    assert "which 2 ranks share" in found.text


@pytest.mark.parametrize(("names", "level"), [([], OK), (["H100"], WARNING), (["H100", "H100"], OK)])
def test_more_ranks_than_gpus(monkeypatch, names, level):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: names[index])
    assert machine.gpus(RANK).level == level


@pytest.mark.parametrize(("value", "level"), [("4", OK), ("5", WARNING), ("none", ERROR), ("0", ERROR)])
def test_threads_of_all_ranks(monkeypatch, value, level):
    monkeypatch.setattr(machine, "process_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("HVD_QGENX_THREADS", value)
    found = machine.threads(RANK)
    assert found.level == level
    assert found.mend == ("" if level == OK else "export HVD_QGENX_THREADS=4")


HARM = {
    "HOROVOD_STALL_CHECK_DISABLE": ("1", "0"),
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": ("0", "60"),
    "HOROVOD_FUSION_THRESHOLD": ("134217728", "0"),
    "HOROVOD_AUTOTUNE": ("1", "0"),
    "HOROVOD_HIERARCHICAL_ALLREDUCE": ("1", "0"),
    "OMPI_MCA_coll_tuned_use_dynamic_rules": ("0", "1"),
    "OMPI_MCA_coll_tuned_allreduce_algorithm": ("3", "4"),
    "OMPI_MCA_btl_tcp_eager_limit": ("65536", "262144"),
}
"""A value that harms, and one that does not."""


@pytest.fixture
def _no_settings(monkeypatch):
    for name in HARM:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_settings")
@pytest.mark.parametrize("name", machine.HARMFUL)
def test_settings_that_harm(monkeypatch, name):
    assert machine.settings(HERE).level == OK
    monkeypatch.setenv(name, HARM[name][1])
    assert machine.settings(HERE).level == OK
    monkeypatch.setenv(name, HARM[name][0])
    found = machine.settings(HERE)
    assert (found.level, found.mend) == (WARNING, f"unset {name}")
    assert f"{name}={HARM[name][0]}: " in found.text


@pytest.mark.usefixtures("_no_settings")
def test_all_settings_that_harm_are_told(monkeypatch):
    for name in ("HOROVOD_AUTOTUNE", "HOROVOD_STALL_CHECK_DISABLE"):
        monkeypatch.setenv(name, "1")
    assert machine.settings(HERE).mend == "unset HOROVOD_STALL_CHECK_DISABLE HOROVOD_AUTOTUNE"


def test_data_sets_are_looked_for_and_not_read(tmp_path):
    assert set(files.DATA) == set(DATASETS) - {"digits", "folder"}
    found = files.data_sets(Place(tmp_path, Path("runs")))
    assert found.text.startswith("digits; ")
    assert "--download" in found.mend
    for paths in files.DATA.values():
        (tmp_path / paths[-1]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / paths[-1]).touch()
    found = files.data_sets(Place(tmp_path, Path("runs")))
    assert found.text == f"digits, mnist, fashion-mnist, cifar10, cifar100, svhn, celeba; in {tmp_path}"
    assert found.mend == ""


def test_real_data_sets_are_found(data_dir):
    assert "cifar10" in files.data_sets(Place(data_dir, Path("runs"))).text.partition(";")[0]


def test_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(files.inception, "find", lambda _: None)
    place = Place(tmp_path, Path("runs"))
    assert files.weights(place).level == WARNING
    (tmp_path / files.resnet.FILE).touch()
    assert files.weights(place).level == OK
    monkeypatch.setattr(files.inception, "find", lambda _: Path("inception.pth"))
    monkeypatch.setattr(files.inception, "installed", lambda: False)
    assert files.weights(place).mend == "pip install torch-fidelity"


def test_the_folder_of_runs(tmp_path, monkeypatch):
    place = Place(tmp_path, tmp_path / "new" / "runs")
    assert files.runs_folder(place).level == OK
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(files, "LEAST_FREE", 10**18)
    assert files.runs_folder(place).level == WARNING
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    assert files.runs_folder(place).level == ERROR
    assert files.runs_folder(Place(tmp_path, place.runs, rank=1)) is None


def test_what_ranks_have_in_common_is_told_once():
    same, mine = Finding("MPI", OK, "4.1"), Finding("runs", OK, "/runs")
    assert merged([[same, mine], [same, None]], alike=()) == [same, mine]


def test_differences_are_told_with_their_ranks():
    four, five = Finding("MPI", OK, "4.1"), Finding("MPI", ERROR, "5.0", "install 4.1")
    found = merged([[four], [five], [four]], alike=())
    assert found == [Finding("MPI", OK, "4.1", "", (0, 2)), Finding("MPI", ERROR, "5.0", "install 4.1", (1,))]


def test_software_must_not_differ():
    older, newer = Finding("torch", OK, "2.12"), Finding("torch", OK, "2.13")
    assert {finding.level for finding in merged([[older], [newer]], alike=("torch",))} == {WARNING}
    assert {finding.level for finding in merged([[older], [newer]], alike=())} == {OK}
