"""Help is printed before anything heavy is imported."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from compressors.registry import compressor_parameters
from hvd_qgenx.cli import COMMANDS, main

HEAVY = ("torch", "numpy", "numba", "scipy", "matplotlib", "tensorboard", "sklearn", "PIL")

PRINT = """
import json, sys
from hvd_qgenx.cli import main
commands, heavy = map(json.loads, sys.argv[1:])
for words in commands:
    try:
        main([*words, "--help"], "hvd-qgenx")
    except SystemExit as done:
        assert not done.code, words
    found = sorted(sys.modules.keys() & set(heavy))
    assert not found, f"{' '.join(words)} --help imports {found}"
"""


def groups() -> list[list[str]]:
    """Returns the words of all commands, groups among them."""
    return [
        [],
        *([name] for name in COMMANDS),
        *(["game", name] for name in ("bilinear", "quadratic", "matrix", "stochastic-bilinear", "dirac-gan")),
        *(["bench", name] for name in ("codec", "exchange", "report")),
    ]


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-c", PRINT, json.dumps(groups()), json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(groups())


@pytest.mark.parametrize("words", [["bilinear"], ["game", "matrix"], ["gan"], ["classify"]], ids=" ".join)
def test_every_parameter_of_a_compressor_is_an_option(words):
    result = CliRunner().invoke(main, [*words, "--help"])
    for name in compressor_parameters():
        assert f"--{name.replace('_', '-')} " in result.output


def test_every_command_is_listed_with_a_summary():
    lines = [line.split(maxsplit=1) for line in CliRunner().invoke(main, ["--help"]).output.splitlines()]
    listed = {line[0]: line[1] for line in lines if len(line) == 2 and line[0] in COMMANDS}
    assert listed == {name: entry.summary for name, entry in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f" {name} " in result.output.splitlines()[0]


def test_an_unknown_command_is_refused():
    result = CliRunner().invoke(main, ["gna"])
    assert result.exit_code == 2
    assert "No such command 'gna'" in result.output
