"""Examples in docstrings print what they say."""

import doctest
import importlib
import re

import pytest

from tests.test_imports import MODULES

NEEDS_HOROVOD = {"hvd_qgenx.torch"}
WITH_EXAMPLES = sorted(name for name, path in MODULES.items() if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE))


def test_the_packages_have_examples():
    assert {"compressors", "compressors.base", "hvd_qgenx.optim.distributed", "hvd_qgenx.gossip"} <= {*WITH_EXAMPLES}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.horovod] * (name in NEEDS_HOROVOD)) for name in WITH_EXAMPLES]
)
@pytest.mark.usefixtures("one_thread")
def test_examples_print_what_they_say(name):
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
