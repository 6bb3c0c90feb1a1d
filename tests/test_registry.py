"""Entries are imported when they are asked for, and no sooner."""

import sys

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.registry import Registry


def test_names_are_listed_without_importing_anything():
    registry = Registry("thing", {"one": "no_such_module:thing", "other": "wave:open"})
    sys.modules.pop("wave", None)
    assert list(registry) == ["one", "other"]
    assert "one" in registry
    assert "wave" not in sys.modules


def test_an_entry_is_an_attribute_or_a_module():
    registry = Registry("thing", {"attribute": "math:sqrt", "module": "math"})
    assert registry["attribute"](4.0) == 2
    assert registry["module"].sqrt(9.0) == 3


def test_what_is_registered_is_found_beside_it():
    registry = Registry("thing", {"one": "math:sqrt"})
    assert registry.register("two")(int) is int
    assert registry["two"] is int
    assert list(registry) == ["one", "two"]
    assert len(registry) == 2
    registry.register("two")(int)  # as where a module is imported in two ways
    assert registry.origin("two:size=3") is registry.origin("one") is None
    for name, owner in (("one", "hvd-qgenx"), ("two", "builtins")):
        with pytest.raises(ConfigurationError, match=f"two entries are called thing '{name}': one of {owner}, one of"):
            registry.register(name)(Registry)


def test_an_unknown_name_is_answered_with_the_nearest():
    registry = Registry("model", {"resnet18": "math", "resnet50": "math"})
    with pytest.raises(ConfigurationError, match="unknown model 'resnet81'; did you mean 'resnet18'"):
        registry["resnet81"]
