"""Names of packages that are imported when they are first used."""

import importlib
import subprocess
import sys

import pytest

from hvd_qgenx.exports import lazy

PACKAGES = ("hvd_qgenx", "hvd_qgenx.exchange", "hvd_qgenx.games", "hvd_qgenx.gossip", "hvd_qgenx.optim")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_importing_the_packages_imports_no_torch():
    program = f"import sys, hvd_qgenx.errors, {', '.join(PACKAGES)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_is_imported_from_its_module():
    find = lazy("package", {"sqrt": "math"})
    assert find("sqrt")(9.0) == 3
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'cube'"):
        find("cube")


@pytest.mark.parametrize("name", ["compressors/__init__.py", "compressors.py"])
def test_another_package_of_the_name_compressors_is_named(name, tmp_path):
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "from hvd_qgenx import ExtraAdam"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    assert f"needs its own package 'compressors', but Python finds another of this name first, {tmp_path}" in sentence


def test_the_command_line_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "hvd_qgenx", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hvd-qgenx, version ")
