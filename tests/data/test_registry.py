"""Names are listed without importing what they name."""

import subprocess
import sys

import pytest

from hvd_qgenx import data
from hvd_qgenx.data.registry import DATASETS
from hvd_qgenx.data.sources import Source
from hvd_qgenx.errors import ConfigurationError


def test_listing_names_imports_no_reader():
    program = """if True:
        import sys
        import hvd_qgenx
        before = set(sys.modules)
        from hvd_qgenx.data.registry import AUGMENTATIONS, DATASETS, SPLITS
        from hvd_qgenx import data
        assert data.DATASETS is DATASETS
        print(*DATASETS)
        print(*sorted(set(sys.modules) - before))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, imported = done.stdout.splitlines()
    assert names.split() == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "celeba", "folder"]
    assert {name for name in imported.split() if name.startswith("hvd_qgenx")} <= {
        *("hvd_qgenx.data", "hvd_qgenx.data.registry", "hvd_qgenx.registry", "hvd_qgenx.errors")
    }
    assert not {"torch", "torchvision", "numpy", "sklearn", "PIL"} & set(imported.split())


def test_every_name_has_a_source():
    for name in DATASETS:
        assert isinstance(DATASETS[name], Source)
    with pytest.raises(ConfigurationError, match="unknown dataset 'cifar'; did you mean 'cifar10'"):
        DATASETS["cifar"]


def test_every_public_name_is_found():
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'videos'"):
        data.videos  # noqa: B018
