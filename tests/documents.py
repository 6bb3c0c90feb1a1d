"""The project's pages and helps, and the blocks, commands and examples in them.

``python -m tests.documents`` says of each how it is tried; with ``--run``, in an empty folder, it runs what is quick:
commands that train print their settings, sweeps their commands, and the others work on little.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from hvd_qgenx.cli import main
from hvd_qgenx.cli.reference import PROGRAM, helps
from hvd_qgenx.cli.settings import TaskCommand

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(
    r"(?P<marked>^<!-- compiled only: [^>]+ -->\n)?^```python\n(?P<shown>.*?)^```$|^<!-- python\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
"""Blocks that a reader sees, those that cannot run alone under a comment that says why, and code in a comment."""
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")
INLINE = re.compile(r"`((?:hvd-qgenx|horovodrun|make|python -m)\s[^`]*\s(?:-|[A-Z])[^`]*)`")
"""With an option or an argument: others are names of commands."""
TRIED = ("horovodrun", "docker", "make", "python", ".venv/bin/python", "sbatch")
"""What lines of commands begin with, besides the program and scripts."""
VARIABLE = re.compile(r"^N$|\$\w+")
"""What stands for a number, or for a value of a loop."""
SYNOPSIS = re.compile(r"\[[^]]*\]")
"""Parts of a command that may be left out."""


class Block(NamedTuple):
    """A fenced or an indented block of a page."""

    page: Path
    line: int
    language: str
    text: str
    runs: bool = True
    """Can it run after the blocks above it?"""

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"

    @property
    def padded(self) -> str:
        """The text in the lines that it has in the page."""
        return "\n" * (self.line - 1) + self.text


class Command(NamedTuple):
    """A command line of a page or a help."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: {shlex.join(self.words)}"

    @property
    def own(self) -> tuple[str, ...] | None:
        """The words after ``hvd-qgenx``, whatever launches it; None: it is another program."""
        if PROGRAM not in self.words or self.words[0] not in (PROGRAM, "horovodrun", "docker"):
            return None
        last = len(self.words) - self.words[::-1].index(PROGRAM)
        return tuple(VARIABLE.sub("1000", word) for word in self.words[last:]) or None

    @property
    def plugged(self) -> bool:
        """Does it need the plugins of its page? ``tests/test_plugins.py`` tries those."""
        return self.place.startswith("plugins.md")

    @property
    def varies(self) -> bool:
        """Does it stand for several, by a loop or an ellipsis?"""
        return any("$" in word or word == "..." for word in self.words)

    @property
    def ranks(self) -> int:
        """How many ranks it starts."""
        for flag in ("-np", "--local-ranks"):
            if flag in self.words:
                return int(self.words[self.words.index(flag) + 1])
        return 1


def blocks(page: Path, language: str) -> Iterator[Block]:
    """Yields the fenced blocks of a page in a language; the empty one is of those that name none."""
    text = page.read_text()
    for found in FENCED.finditer(text):
        if found[1] == language:
            yield Block(page, text.count("\n", 0, found.start()) + 2, language, found[2])


def python(page: Path) -> Iterator[Block]:
    """Yields the Python of a page: fenced blocks, what ``<!-- python ... -->`` prepares for them, what diffs make."""
    text = page.read_text()
    for found in PYTHON.finditer(text):
        group = "hidden" if found["shown"] is None else "shown"
        line = text.count("\n", 0, found.start(group)) + 1
        yield Block(page, line, "python", found[group], runs=found["marked"] is None)
    for block in blocks(page, "diff"):
        yield block._replace(language="python", text=applied(block.text))


def applied(diff: str) -> str:
    """Returns what a diff makes of its lines; those that it removes are left empty."""
    return "".join("\n" if line.startswith("-") else line[1:] for line in diff.splitlines(keepends=True))


def name(page: Path) -> str:
    """Returns how a page is called: by its path in ``docs/``."""
    return str(page.relative_to(DOCS)) if page.is_relative_to(DOCS) else page.name


def commands() -> Iterator[Command]:
    """Yields the commands in all pages, in blocks and within sentences, and those in all helps."""
    for page in PAGES:
        for block in blocks(page, ""):
            yield from _lines(block.text, name(page), block.line)
        text = FENCED.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
        for found in INDENTED.finditer(text):
            yield from _lines(found[0], name(page), text.count("\n", 0, found.start()) + 1)
        for found in INLINE.finditer(text):
            yield from _lines(" ".join(found[1].split()), name(page), text.count("\n", 0, found.start()) + 1)
    for command, context in helps():
        yield from _lines(command.help or "", f"{context.command_path} --help", 1)


def _lines(text: str, where: str, first: int) -> Iterator[Command]:
    """Yields the commands of a text, of which some take several lines, and some lines hold several."""
    number = first
    for line in re.split(r"(?<!\\)\n", text):
        place = f"{where}:{number}"
        number += line.count("\n") + 1
        start = line.split()[:1]
        if start and (start[0] in (PROGRAM, *TRIED) or start[0].startswith("jobs/")):
            yield from _split(line.replace("\\\n", " "), place)


def _split(line: str, place: str) -> Iterator[Command]:
    lexer = shlex.shlex(SYNOPSIS.sub("", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, ";"):
        if word and set(word) <= set(";&|"):
            if words:
                yield Command(place, tuple(words))
            words = []
        else:
            words.append(word)


def parse(words: Sequence[str]) -> click.Context:
    """Parses the words after ``hvd-qgenx``, and returns the context of the command that they call.

    Raises:
        click.UsageError: it does not take them.
        click.exceptions.Exit: they ask for help, or the like.
    """
    command, context, rest = main, click.Context(main, info_name=PROGRAM), list(words)
    while isinstance(command, click.Group):
        name, *rest = rest or ["--help"]
        found = command.get_command(context, name)
        if found is None:
            return command.make_context(PROGRAM, [name, *rest])  # raises, or prints
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, parent=context, info_name=name)
    return command.make_context(name, rest, parent=context)


QUICK = {
    "bilinear": ["--iterations", "5", "--seeds", "1", "--jobs", "1"],
    "consensus": ["--dimension", "50", "--seeds", "1"],
    "game": ["--iterations", "5", "--seeds", "1", "--jobs", "1"],
    "levels": [],
    "logistic": ["--iterations", "5", "--seeds", "1"],
    "measure": ["--draws", "1"],
    "mpijob": [],
    "trainjob": [],
    "sweep": ["--dry-run"],
    "topology": [],
}
"""Options that make commands quick, or print what they would do."""
INPUTS = {"evaluate", "report", "sample"}
"""Commands that take what others have left."""
SLOW = {"bench", "doctor"}
"""Commands that measure the machine."""
FILES = (".pt", ".npy", ".txt", ".yaml", ".libsvm")
"""What files of the reader's end in."""


def quick(command: Command) -> list[str] | None:
    """Returns the words of a quick command in its place; None: there is none."""
    if command.own is None:
        return None
    name = command.own[0]
    if (
        name in INPUTS | SLOW
        or {"--resume", "--tune", "--check", "--help", "FILE"} & set(command.own)
        or command.varies
        or command.plugged
    ):
        return None
    with contextlib.redirect_stdout(None):
        try:
            context = parse(command.own)
        except click.exceptions.Exit:
            return list(command.own)
    own = [word for word in command.own if word != "--download"]
    if "--expect-ranks" in own:
        own += ["--expect-ranks", "1"]
    if isinstance(context.command, TaskCommand):
        return [*own, "--show-config"]
    if any(isinstance(value, str | Path) and Path(value).suffix in FILES for value in _given(context)):
        return None
    length = {"consensus": ["--messages" if "--messages" in own else "--rounds", "5"]}.get(name, [])
    return [*own, *QUICK[name], *length]


def _given(context: click.Context) -> Iterator[object]:
    for value in context.params.values():
        yield from value if isinstance(value, tuple) else (value,)


def furnish(folder: Path) -> None:
    """Puts what commands name into an empty folder: the project's files, and one to check."""
    (folder / "jobs").symlink_to(ROOT / "jobs")
    for name in ("FILE", "uq4.yaml"):
        (folder / name).touch()


def _main(run: bool) -> int:
    found, failed = Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        furnish(Path(folder))
        for command in commands():
            words = quick(command)
            how = "another program" if command.own is None else "parsed" if words is None else "quick"
            found[how] += 1
            print(f"{how:15} {command}", flush=True)
            if run and words is not None:
                done = subprocess.run(
                    [sys.executable, "-m", "hvd_qgenx", *words],
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
                if done.returncode:
                    failed += 1
                    print(f"FAILED {shlex.join(words)}\n{done.stderr.strip()[-400:]}", flush=True)
    print(f"{found.total()} commands: {', '.join(f'{count} {how}' for how, count in found.items())}; {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if _main("--run" in sys.argv[1:]) else 0)
