"""What the pages and the helps say can be done."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import pytest

from hvd_qgenx import sweep
from hvd_qgenx.cli import COMMANDS
from hvd_qgenx.cli.settings import TaskCommand
from hvd_qgenx.cli.training import asked
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training import presets
from hvd_qgenx.training.asked import configure
from tests import documents
from tests.documents import PAGES, ROOT, Block, Command

FOUND = list(documents.commands())
OWN = [command for command in FOUND if command.own is not None and not command.plugged]
PYTHON = [block for page in PAGES for block in documents.python(page)]
TOML = {str(block): block.text for page in PAGES for block in documents.blocks(page, "toml")}
READER = """
import torch
import horovod.torch as hvd
hvd.init()
model = torch.nn.Linear(2, 2)
"""
"""What a reader of the README has before its first block."""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with what the commands name."""
    documents.furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def context_of(command: Command) -> click.Context | None:
    """Returns the context of the command, or None if it asks for help or the like."""
    try:
        return documents.parse(command.own or ())
    except click.exceptions.Exit:
        return None


def test_commands_are_found_everywhere():
    places = {command.place.partition(":")[0] for command in OWN}
    assert {
        "README.md",
        "gan.md",
        "levels.md",
        "vae.md",
        "hvd-qgenx gan --help",
        "hvd-qgenx bench codec --help",
    } <= places
    assert len(OWN) > 180


@pytest.mark.usefixtures("folder")
def test_every_command_is_understood(capsys):
    bad = []
    for command in OWN:
        try:
            context_of(command)
        except click.UsageError as error:
            bad.append(f"{command}: {error.format_message()}")
    capsys.readouterr()
    assert not bad, "\n".join(bad)


@pytest.mark.usefixtures("folder")
def test_every_command_that_trains_could_begin(capsys):
    """Its settings are known, and go together."""
    bad, looked_at = [], 0
    for command in OWN:
        context = context_of(command)
        if (
            context is None
            or not isinstance(context.command, TaskCommand)
            or command.varies
            or context.params["resume"]
        ):
            continue
        looked_at += 1
        try:
            task = context.command.task
            configure(task, asked(context, task)).replaced({"device": "cpu"}).check(command.ranks)
        except ConfigurationError as error:
            bad.append(f"{command}: {error}")
    capsys.readouterr()
    assert not bad, "\n".join(bad)
    assert looked_at > 50


@pytest.mark.usefixtures("folder")
def test_every_sweep_that_is_named_is_one():
    files = {command.own[1] for command in OWN if command.own[0] == "sweep" and command.own[1].startswith("jobs/")}
    assert len(files) > 15
    for file in files:
        found = sweep.read(Path(file))
        assert sweep.plan_commands(found) if isinstance(found, sweep.Commands) else sweep.plan(found)


def test_every_other_program_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in FOUND:
        program, *words = command.words
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, command
        elif program.endswith("python") and words[0] == "-m":
            assert importlib.util.find_spec(words[1]), command
        for word in command.words:
            if word.startswith("jobs/"):
                assert (ROOT / word).exists(), command


def test_every_command_that_a_sentence_names_is_one():
    named = {name for page in PAGES for name in re.findall(r"`hvd-qgenx ([a-z]+)", page.read_text())}
    assert len(named) > 15
    assert named <= COMMANDS.keys()


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: Block):
    compile(block.text, str(block), "exec")


def test_python_of_every_kind_is_found():
    assert {documents.name(block.page) for block in PYTHON if block.runs} >= {
        "README.md",
        "CONTRIBUTING.md",
        "compressors.md",
        "optimizers.md",
        "tutorials/own-script.md",
    }
    assert not all(block.runs for block in PYTHON)


def run_pages(pages: Iterable[Path], folder: Path) -> None:
    """Runs the blocks of each page in one namespace, in the order of the page."""
    program = ["namespace = {}"]
    for page in pages:
        program.append("namespace = {'__name__': 'page'}")
        if page.name == "README.md":
            program.append(f"exec({READER!r}, namespace)")
        for block in documents.python(page):
            if block.runs:
                program.append(f"exec(compile({block.padded!r}, {str(page)!r}, 'exec'), namespace)")
    command = [sys.executable, "-c", "\n".join(program)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def uses_horovod(page: Path) -> bool:
    return any("hvd_qgenx.torch" in block.text for block in documents.python(page) if block.runs)


def test_python_runs(tmp_path):
    run_pages((page for page in PAGES if not uses_horovod(page)), tmp_path)


@pytest.mark.horovod
def test_python_that_uses_horovod_runs(tmp_path):
    run_pages(filter(uses_horovod, PAGES), tmp_path)


def test_presets_are_read(tmp_path):
    texts = [text for place, text in TOML.items() if place.startswith("presets.md")]
    assert texts
    for text in texts:
        (tmp_path / "own.toml").write_text(text)
        assert presets.load(TASKS["gan"], str(tmp_path / "own.toml")).merged()


def test_sweeps_are_read(tmp_path):
    """The first says everything; what is published goes with it, and commands alone."""
    first, published, commands = (text for place, text in TOML.items() if place.startswith("sweep.md"))
    (tmp_path / "runs.toml").write_text(first + published)
    found = sweep.read(tmp_path / "runs.toml")
    assert sweep.plan(found)
    assert found.published
    (tmp_path / "commands.toml").write_text(f'out = "runs/commands"\n{commands}')
    assert sweep.plan_commands(sweep.read(tmp_path / "commands.toml"))
