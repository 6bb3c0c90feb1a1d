"""Files of a user that are damaged, of any kind: one sentence that names the file, and no more of it than it needs.

``HVD_QGENX_FUZZ`` multiplies the number of damaged files.
"""

import json
import os
import resource
import shutil
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from hvd_qgenx.cli import main
from hvd_qgenx.reading import DOCUMENT
from hvd_qgenx.report import page
from tests import damage
from tests.mpijob.files import DEMO, ROOT

TIMES = float(os.environ.get("HVD_QGENX_FUZZ", "1"))
TRAIN = ("gan", "--filters", "4", "--latent", "8", "--batch-size", "8", "--log-every", "1", "--device", "cpu")
MEMORY = 1 << 30
"""More bytes than reading a damaged file may take."""
ECHO = "Q" * 201
"""More of a value than a sentence may repeat: ``damage`` writes longer ones."""

PRESET = """# A preset
filters = 4
updates = 2
generator_lr = 0.001
checkpoint_every = 1.0
compressor = "minmax"
bits = 4
"""
SWEEP = """out = "sweep"
seeds = [0, 1]
diverging = "allowed"
[options]
filters = 4
generator_lr = 0.001
[modes.a]
bits = 4
[modes.b]
compressor = "none"
[published]
title = "t"
source = "s"
score = "fid/raw"
[published.values]
a = 3.0
b = {value = 2.0, spread = 0.1}
"""
EVALUATION = "update,samples,score,weights,value,bias\n2,100,fid,ema,30.0,1.5\n2,100,kid,ema,0.25,\n"
SCORES = "update,traffic/megabytes,seconds/elapsed,seconds/scoring,fid/ema\n1,0,0.1,0.1,9.0\n2,0,0.2,0.1,8.0\n"
GRAPH = "0 1 0.3\n1 2 0.3\n2 3 0.3 # last\n3 0 0.3\n"
DEFINITION = {
    "spec": {
        "names": {"kind": "MPIJob"},
        "versions": [{"name": "v2beta1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {}}}}],
    }
}

DEEP = tuple(part.encode() * 30_000 for part in ("[", "{a: ", "- ", '{"a":', "a = [", "a = {a=", "a."))
DATES = (b"updates = 2001-99-99\n", b"kind: MPIJob\na: 2001-99-99\n")
WHOLE = (b"", b" " * (DOCUMENT + 1), b"a: \xff\n", b"a\xff\n", *DATES)
NUMBERS = tuple(b"bits = " + digits for digits in (b"9" * 5000, b"0x" + b"f" * 60_000, b"1e308", b"nan"))
NINE = ("x", *"abcdefghi")
LAUGHS = "".join(f"- &{name} [{', '.join(['*' * (last != 'x') + last] * 9)}]\n" for last, name in pairwise(NINE))
ALIASES = (LAUGHS.encode(), b"a: &a [*a]\n")


class Kind(NamedTuple):
    """A kind of file, how it is damaged, and the commands that read it."""

    damaged: Callable[[str, bytes], bytes]
    count: int
    commands: tuple[str, ...]
    """``FILE`` stands for the file, ``RUN`` for the run that has it, ``OUT`` for a folder that is not there."""
    always: tuple[bytes, ...] = ()
    """What is tried beside the damages that seeds decide."""
    names: str | None = None
    """What the sentence names; None: the file. A value may be wrong only together with those of the command line."""


RESUME = "gan --resume RUN --updates 2"
SAMPLE = "sample RUN --count 1 --out OUT/a.png"
REPORT = "report RUN --out OUT"
OF_RUN = (
    "config.json",
    "checkpoint.pt",
    "metrics.csv",
    "scores.csv",
    "evaluation.csv",
    "summary.json",
    "diverged.json",
)
KINDS = {
    "config.json": Kind(damage.json_text, 24, (RESUME, SAMPLE), (*DEEP, *WHOLE)),
    "checkpoint.pt": Kind(damage.archive, 40, (RESUME, SAMPLE)),
    "metrics.csv": Kind(damage.text, 12, (RESUME,), (b"\n\n\n", *WHOLE)),
    "scores.csv": Kind(damage.text, 6, (RESUME,)),
    "evaluation.csv": Kind(damage.text, 12, (REPORT,), WHOLE),
    "summary.json": Kind(damage.json_text, 12, (REPORT,), DEEP),
    "diverged.json": Kind(damage.json_text, 6, (REPORT,), DEEP),
    "preset.toml": Kind(damage.text, 80, ("gan --show-config --preset FILE",), (*DEEP, *WHOLE, *NUMBERS), "Error: "),
    "sweep.toml": Kind(damage.text, 80, ("sweep FILE --dry-run",), (*DEEP, *WHOLE, *NUMBERS)),
    "job.yaml": Kind(damage.text, 80, ("mpijob --check FILE",), (*DEEP, *WHOLE, *ALIASES)),
    "definition.yaml": Kind(damage.text, 20, ("mpijob --crd FILE --check JOB",), (*DEEP, *WHOLE, *ALIASES), ".yaml"),
    "graph.txt": Kind(damage.text, 12, ("topology FILE --ranks 4 --out OUT",), WHOLE),
    "bench.json": Kind(damage.json_text, 20, ("bench report FILE --out OUT/page.md",), (*DEEP, *WHOLE)),
    "gradients.pt": Kind(damage.archive, 20, ("measure --gradients FILE --draws 1 --compressor fp16 --out OUT",)),
    "matrix.npy": Kind(damage.text, 12, ("game bilinear --matrix FILE --iterations 1 --out OUT",)),
    "start.npy": Kind(damage.text, 12, ("consensus --start FILE --rounds 1 --out OUT",)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all kinds of files, whole, and of a run."""
    folder = tmp_path_factory.mktemp("whole")
    result = CliRunner().invoke(
        main, [*TRAIN, "--updates", "2", "--checkpoint-every", "1", "--out", str(folder / "run")]
    )
    assert result.exit_code == 0, result.output
    (folder / "run" / "evaluation.csv").write_text(EVALUATION)
    (folder / "scores.csv").write_text(SCORES)
    (folder / "run" / "diverged.json").write_text('{"update": 1, "sentence": "the loss is nan"}\n')
    (folder / "preset.toml").write_text(PRESET)
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "job.yaml").write_text((ROOT / DEMO).read_text())
    (folder / "definition.yaml").write_text(yaml.safe_dump(DEFINITION))
    (folder / "graph.txt").write_text(GRAPH)
    (folder / "bench.json").write_text(json.dumps({"kind": "codec", "command": "bench", "machine": {}, "rows": []}))
    torch.save({"generator.weight": torch.randn(20, 30), "bias": torch.randn(30)}, folder / "gradients.pt")
    np.save(folder / "matrix.npy", np.eye(3))
    np.save(folder / "start.npy", np.ones((8, 3)))
    return folder


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def check(arguments: Sequence[str], named: str) -> Result:
    """Calls a command, which must succeed, or end with code 2 and one sentence that names the file."""
    before = peak()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, arguments)
    trace = "".join(traceback.format_exception(*result.exc_info)) if result.exc_info else ""
    assert result.exit_code in (0, 2), trace[-4000:]
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == (result.exit_code == 2), result.output[-2000:]
    assert "Traceback" not in result.output
    assert ECHO not in result.output
    assert all(len(line) < 1000 for line in errors)
    assert peak() < before + MEMORY
    assert not errors or named in result.output
    return result


def inputs(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields damaged contents of a file, each with a name for messages."""
    kind = KINDS[name]
    yield from ((f"always {number}", content) for number, content in enumerate(kind.always))
    for number in range(int(kind.count * TIMES)):
        yield f"{name} {number}", kind.damaged(f"{name} {number}", data)


def placed(word: str, places: Mapping[str, Path]) -> str:
    """Returns a word of a command with a path in place of its name."""
    first, slash, rest = word.partition("/")
    return f"{places[first]}{slash}{rest}" if first in places else word


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_one_sentence(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "write", lambda comparison, folder, *_: folder)  # drawing takes most of the time
    kind, codes = KINDS[name], Counter[int]()
    of_run = name in OF_RUN
    original = next(path for path in (files / name, files / "run" / name) if path.exists())
    for number, (title, content) in enumerate(inputs(name, original.read_bytes())):
        folder = tmp_path / str(number)
        shutil.copytree(files / "run", folder / "run")
        path = folder / "run" / name if of_run else folder / name
        path.write_bytes(content)
        places = {"FILE": path, "RUN": folder / "run", "OUT": folder / "out", "JOB": files / "job.yaml"}
        for command in kind.commands:
            words = [placed(word, places) for word in command.split()]
            try:
                codes[check(words, kind.names or name).exit_code] += 1
            except AssertionError as error:
                raise AssertionError(f"{title}, {command}: {content[:200]!r}\n{error}") from None
        shutil.rmtree(folder)
    assert codes[2] or name == "diverged.json"  # without a readable record, a run has not diverged
