"""The lock of third-party packages: it is whole, it is what is installed, and files with other hashes are refused."""

import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hvd_qgenx.installed import is_installed

PROJECT = Path(__file__).parents[2]
SETUP = PROJECT / "jobs" / "setup"
LAYERS = "torch", "cpu", "cuda", "horovod", "run", "dev"


def blocks(layer: str) -> list[str]:
    """The requirements of a layer, each with its hashes."""
    text = (SETUP / "lock" / f"{layer}.lock").read_text()
    return re.sub(r" *\\\n *", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()


def requirement(block: str) -> Requirement:
    return Requirement(block.partition(" --hash")[0])


@pytest.mark.parametrize("layer", [*LAYERS, "build"])
def test_every_package_has_one_version_and_hashes(layer: str) -> None:
    assert blocks(layer)
    for block in blocks(layer):
        assert re.fullmatch(r"[a-z0-9-]+==[^ ;]+( ;[^\\]*?)?( --hash=sha256:[0-9a-f]{64})+", block), block
        assert "://" not in block


def test_layers_agree_with_each_other_and_with_the_project() -> None:
    locked = [requirement(block) for layer in LAYERS for block in blocks(layer)]
    versions = {(each.name, str(each.marker)): set[str]() for each in locked}
    for each in locked:
        versions[each.name, str(each.marker)].add(str(each.specifier))
    torch = versions.pop(("torch", "None"))
    assert torch == {"==2.13.0", "==2.13.0+cpu"}
    assert all(len(found) == 1 for found in versions.values())
    project = configparser.ConfigParser()
    project.read(PROJECT / "setup.cfg")
    assert f"horovod[pytorch] {versions['horovod', 'None'].pop()}" in project["options.extras_require"]["horovod"]


def test_what_is_installed_is_what_is_locked() -> None:
    layers = ("torch", "run", "dev", *(("horovod",) if is_installed("horovod") else ()))
    locked = [requirement(block) for layer in layers for block in blocks(layer)]
    here = [each for each in locked if each.marker is None or each.marker.evaluate()]
    different = {
        each.name: metadata.version(each.name) for each in here if metadata.version(each.name) not in each.specifier
    }
    assert not different, "not as locked; `make install` mends it"


def wheel(folder: Path, name: str, version: str) -> str:
    """Writes a package of nothing and returns its hash."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def install(tmp_path: Path, layer: str, **locks: str) -> "subprocess.CompletedProcess[str]":
    """Runs the Makefile's script with packages of the folder ``wheels`` alone."""
    setup = tmp_path / "setup"
    (setup / "lock").mkdir(parents=True)
    shutil.copy(SETUP / "python.sh", setup)
    for name, text in locks.items():
        (setup / "lock" / f"{name}.lock").write_text(text + "\n")
    settings = {
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_TARGET": str(tmp_path / "installed"),
    }
    command = [str(setup / "python.sh"), sys.executable, layer]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False
    )


def installed(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.glob("installed/*.dist-info"))


def test_a_package_with_the_locked_hash_is_installed(tmp_path: Path) -> None:
    digest = wheel(tmp_path / "wheels", "something", "1.0")
    done = install(tmp_path, "run", run=f"something==1.0 --hash=sha256:{digest}")
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path) == ["something-1.0.dist-info"]


@pytest.mark.parametrize("lock", ["something==1.0 --hash=sha256:" + "0" * 64, "something==1.0"])
def test_a_package_with_another_hash_or_none_is_refused(tmp_path: Path, lock: str) -> None:
    wheel(tmp_path / "wheels", "something", "1.0")
    done = install(tmp_path, "run", run=lock)
    assert done.returncode != 0
    assert "hashes" in done.stderr.lower()
    assert installed(tmp_path) == []


@pytest.mark.parametrize("version", ["2.0+cpu", "2.0"])
def test_torch_is_the_one_for_cpu_where_pip_finds_it(tmp_path: Path, version: str) -> None:
    something = f"something==1.0 --hash=sha256:{wheel(tmp_path / 'wheels', 'something', '1.0')}"
    torch = f"torch=={version} --hash=sha256:{wheel(tmp_path / 'wheels', 'torch', version)}"
    other = "torch==2.0{} --hash=sha256:" + "0" * 64
    locks = {"cpu": other.format("+cpu"), "cuda": other.format("")} | {"cpu" if "+" in version else "cuda": torch}
    done = install(tmp_path, "torch", torch=something, **locks)
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path) == ["something-1.0.dist-info", f"torch-{version}.dist-info"]
