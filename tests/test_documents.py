"""What the pages and the helps say can be done."""

import builtins
import importlib.util
import re
import subprocess
import symtable
import sys
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
OWN = [command for command in FOUND if command.own is not None]
PYTHON = [block for page in PAGES for block in documents.blocks(page, "python")]
TOML = {str(block): block.text for page in PAGES for block in documents.blocks(page, "toml")}


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
@pytest.mark.filterwarnings("ignore:.*is made for unbiased compressors")
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


def needs(block: Block) -> set[str]:
    """Returns the names that a block uses and does not make."""
    table = symtable.symtable(block.text, str(block), "exec")
    used = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    made = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    return used - made - set(dir(builtins))


def test_python_that_needs_nothing_runs():
    complete = [block for block in PYTHON if not needs(block)]
    assert {block.page.name for block in complete} >= {
        "README.md",
        "CONTRIBUTING.md",
        "compressors.md",
        "optimizers.md",
    }
    program = "".join(
        f"exec(compile({block.text!r}, {str(block)!r}, 'exec'), {{'__name__': 'x'}})\n" for block in complete
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


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
