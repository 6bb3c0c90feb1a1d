"""A setting is declared once: what reads the declaration agrees with it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.report.settings import is_asked_for, is_neutral
from hvd_qgenx.tasks.reference import page
from hvd_qgenx.tasks.registry import TASKS, config_of
from hvd_qgenx.training.asked import Setting, configure, merge, read
from hvd_qgenx.training.settings import Interval, Role, compressor_parameters, declared, redeclared, setting

EVERY = [(task, name) for task, config in TASKS.items() for name in declared(config)]


@dataclass(frozen=True)
class Own:
    """A configuration of a test's own."""

    width: int = setting(3, "How wide.", "Shape", limits="[1, 8]")
    share: float | None = setting(None, "How much.", "Shape", limits="(0, 1)", may_change=True, otherwise="half")
    color: str = setting("red", "Which.", "Look", choices=("red", "green"), role=Role.STUDIED)


@dataclass(frozen=True)
class Wider(Own):
    """One that derives from it."""

    width: int = redeclared(Own, "width", 5, help="How very wide.")


def test_a_declaration_has_all_that_is_known():
    found = declared(Own)
    assert list(found) == ["width", "share", "color"]
    assert (found["width"].kind, found["width"].default, found["width"].declaration.section) == (int, 3, "Shape")
    assert (found["share"].kind, found["share"].default, found["share"].shown_default) == (float, None, "half")
    roles = {name: each.declaration.role for name, each in found.items()}
    assert roles == {"width": Role.OUTCOME, "share": Role.NEUTRAL, "color": Role.STUDIED}


def test_a_setting_is_declared_anew_with_what_differs():
    before, now = declared(Own)["width"], declared(Wider)["width"]
    assert (now.default, now.declaration.help) == (5, "How very wide.")
    assert now.declaration.limits == before.declaration.limits


@pytest.mark.parametrize(
    ("text", "inside", "outside", "words"),
    [
        ("(0, inf)", (1e-9, 5), (0, -1), "positive"),
        ("[0, inf)", (0, 5), (-1,), "at least 0"),
        ("[0, 1)", (0, 0.99), (1, -0.1), "at least 0 and below 1"),
        ("[1, 8]", (1, 8), (0, 9), "from 1 to 8"),
        ("(0, 1]", (0.5, 1), (0, 1.1), "above 0 and at most 1"),
        ("(2, inf)", (3,), (2,), "above 2"),
    ],
)
def test_intervals(text, inside, outside, words):
    interval = Interval.parse(text)
    assert all(number in interval for number in inside)
    assert not any(number in interval for number in outside)
    assert str(interval) == words


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("width", 9, "width must be from 1 to 8, not 9"),
        ("share", 1.0, "share must be above 0 and below 1, not 1.0"),
        ("color", "gren", "unknown color 'gren'; did you mean 'green'?"),
    ],
)
def test_values_are_checked(name, value, sentence):
    with pytest.raises(ConfigurationError) as raised:
        declared(Own)[name].check(value)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(("task", "name"), EVERY, ids=lambda value: value)
def test_every_default_is_within_its_own_limits(task, name):
    each = declared(TASKS[task])[name]
    each.check(each.default)
    assert each.declaration.section in TASKS[task].sections
    assert each.declaration.help.endswith((".", "?"))


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_is_an_option_and_a_key(task):
    text = CliRunner().invoke(main, [task, "--help"]).output
    config = TASKS[task]
    for name, each in declared(config).items():
        assert f"--{name.replace('_', '-')} " in text
        if each.default is not None:
            assert read(config, {name: each.default}, "test") == {name: Setting(each.default, "test")}
    assert not declared(config).keys() & compressor_parameters().keys()


@pytest.mark.parametrize("task", TASKS)
def test_the_defaults_can_be_trained(task):
    config = configure(TASKS[task], read(TASKS[task], {"device": "cpu"}, "test"))
    config.check(ranks=3)
    assert type(config).restored(config.as_dict()) == config
    assert config_of(Path("run"), {"task": task}) is TASKS[task]


def test_runs_older_than_tasks_are_of_a_gan():
    assert config_of(Path("run"), {"model": "dcgan"}) is TASKS["gan"]


def test_reports_read_the_roles():
    assert is_asked_for("optimizer")
    assert is_asked_for("compressor_parameters.bits")
    assert is_neutral("log_every")
    assert is_neutral("versions.torch")
    for name in ("epochs", "updates", "loss", "label_smoothing", "ranks"):
        assert not is_neutral(name)
        assert not is_asked_for(name)


def test_a_setting_takes_the_place_of_another():
    config = TASKS["classify"]
    merged = merge(config, [read(config, {"epochs": 3.0}, "preset"), read(config, {"updates": 7}, "command line")])
    assert merged == {"updates": Setting(7, "command line")}


def test_the_page_of_settings_is_what_is_declared():
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert text == page(), "run `make docs`"
