"""Names of groups: what sets them apart, in two lines at most."""

import textwrap

import pytest

from hvd_qgenx.captions import LINE, wrapped
from hvd_qgenx.report.labels import names

MANY = {f"setting_{letter}": letter for letter in "abcdefghijkl"}


def outcome(compressor="minmax", **settings):
    return {"compressor": compressor, "compressor_parameters.bits": 4, "optimizer": "sgd", **settings}


def named(*outcomes, given=None):
    found = names(outcomes, given or [None] * len(outcomes))
    assert len({*found}) == len(found)
    assert all(len(textwrap.wrap(name, LINE)) <= 2 for name in found)
    return found


def test_compressors_alone_where_they_differ():
    settings = {"coding": "huffman", **MANY}
    assert named(outcome(), outcome("alq", **settings)) == ["minmax 4 bits", "alq 4 bits, huffman"]


def test_two_are_set_apart_by_all_that_differs():
    one, other = outcome(lr=0.1, momentum=0.9), outcome(lr=1e-5, momentum=0.9, optimizer="adam")
    assert named(one, other) == ["minmax 4 bits, sgd, lr 0.1", "minmax 4 bits, adam, lr 1e-05"]


def test_settings_that_most_have_are_not_said():
    """As of experiments that change one setting at a time."""
    base = {"lr": 0.1, "momentum": 0.9, "clip_norm": 0.0, "decay_all": False}
    changes = [{}, {"lr": 0.2}, {"momentum": 0.8}, {"clip_norm": 1.0}, {"decay_all": True}, {"optimizer": "adam"}]
    assert named(*(outcome(**{**base, **change}) for change in changes)) == [
        "minmax 4 bits",
        "minmax 4 bits, lr 0.2",
        "minmax 4 bits, momentum 0.8",
        "minmax 4 bits, clip_norm 1",
        "minmax 4 bits, decay_all True",
        "minmax 4 bits, adam",
    ]


def test_a_grid_is_named_by_its_axes():
    found = named(*(outcome(lr=lr, **{"compressor_parameters.norm": norm}) for lr in (1, 2) for norm in ("l2", "linf")))
    assert found == [f"minmax 4 bits, lr {lr}, norm {norm}" for lr in (1, 2) for norm in ("l2", "linf")]


def test_of_a_dozen_options_some_are_said_and_the_rest_counted():
    """First those that no other group has; those that most have are not said."""
    others = dict.fromkeys(MANY, "z")
    found = named(outcome(**MANY), outcome(**others), outcome(**others | {"setting_k": "y"}))
    assert found == [
        "minmax 4 bits, setting_a a, setting_b b, setting_c c, 9 more",
        "minmax 4 bits, setting_k z",
        "minmax 4 bits, setting_k y",
    ]


def test_long_names_and_values_are_cut_and_stay_distinct():
    long = "x" * 1000
    given = named(outcome("none"), outcome("none", lr=1), given=[long, long + "y"])
    assert given[0].endswith("… #1")
    values = named(*(outcome(dataset=long + end) for end in "ab"), outcome(**{long: 1}))
    assert all("…" in name for name in values[:2])
    assert all(len(line) <= LINE for line in wrapped(values[0]).splitlines())


@pytest.mark.parametrize("given", [["full", None], ["full", "full"]])
def test_a_name_that_is_given_is_taken_if_no_other_has_it(given):
    found = named(outcome("none"), outcome(), given=given)
    assert found == (["full", "minmax 4 bits"] if given[1] is None else ["none 4 bits", "minmax 4 bits"])
