"""Names and parameters of compressors are known before anything heavy is imported."""

import copy
import pickle
import subprocess
import sys

import pytest

import compressors
from compressors.deferred import Deferred

NAMES = """
import sys, compressors
from compressors import parameters, registry
found = {name: parameters.names(compressors.get(name)) for name in compressors.names()}
assert "bits" in found["minmax"] and "base" in registry.compressor_parameters()
print(*sorted({"torch", "numpy", "scipy", "numba"} & sys.modules.keys()))
"""


def test_names_and_parameters_need_no_torch():
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_module_is_imported_at_the_first_access():
    missing = Deferred("tests.compressors.not_there")
    with pytest.raises(ModuleNotFoundError):
        missing.anything  # noqa: B018 (the access is what imports)
    json = Deferred("json")
    import json as real

    assert json.dumps is real.dumps
    assert vars(json)["dumps"] is real.dumps
    with pytest.raises(AttributeError):
        json.nothing  # noqa: B018


@pytest.mark.parametrize("name", compressors.names())
def test_compressors_travel(name):
    made = compressors.make(name)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is compressors.get(name)
        assert vars(other).keys() == vars(made).keys()
