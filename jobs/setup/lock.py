"""Writes the lock: version and hashes of every third-party package, in one file for each layer of an installation.

    python jobs/setup/lock.py [OPTION ...]

Options go to ``uv pip compile``: ``--upgrade``, ``--upgrade-package NAME``. Without one, what is locked keeps its
version. ``lock/cpu.lock`` is kept by hand: torch for CPU alone has an index of its own.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

TORCH = "torch==2.13.0", "torchvision==0.28.0"
HOROVOD = *TORCH, "horovod[pytorch]==0.28.1", "mpi4py>=4"
BUILD = "cmake>=3.31", "packaging", "setuptools<81", "wheel"  # what Horovod's build asks for
CUDA = re.compile("torch$|triton$|cuda-|nvidia-")  # torch as PyPI has it, and what it needs beside torch for CPU

FOLDER = Path(__file__).with_name("lock")
PROJECT = Path(__file__).parents[2] / "setup.cfg"

# By name of a package, what pip reads: one requirement with its hashes, or two that depend on Python's version.
Lock = dict[str, str]


def main(*options: str) -> None:
    """Resolves everything at once, then deals it out to the layers: no package has two versions, but build tools."""
    if f"\n{TORCH[0]}+cpu " not in read("cpu"):
        sys.exit(f"cpu.lock is not for {TORCH[0]}; its first line says where the hashes of that are")
    layers = "torch", "cuda", "horovod", "run", "dev"
    packages = resolve(TORCH, ["horovod", "scores", "dev"], "".join(map(read, layers)), *options)
    pins = "".join(packages.values())
    torch, horovod = resolve(TORCH, [], pins).keys(), resolve(HOROVOD, [], pins).keys()
    run = resolve(TORCH, ["scores"], pins).keys()
    base = torch | (horovod & run)  # Horovod can be left out, and nothing else with it
    dev = packages.keys() - run - horovod | {"triton"}  # tests run Triton's interpreter with any torch
    cuda = {name for name in torch if CUDA.match(name)}

    for layer, names in zip(layers, (base - cuda, cuda, horovod - base, run - base, dev), strict=True):
        write(layer, [packages[name] for name in sorted(names)])
    write("build", resolve(BUILD, [], read("build"), *options).values())


def resolve(wanted: tuple[str, ...], extras: list[str], preferred: str, *options: str) -> Lock:
    """What installing ``wanted``, and this project with ``extras`` if there are any, would install."""
    project = [PROJECT, *(f"--extra={extra}" for extra in extras)] if extras else []
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "requirements.txt"
        out.write_text(preferred)  # uv keeps the versions of a file it writes over
        command = [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--universal", "-", *project]
        style = ["--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate", f"--output-file={out}"]
        subprocess.run([*command, *style, *options], input="\n".join(wanted), text=True, check=True, stdout=sys.stderr)
        found: Lock = {}
        for block in re.findall(r"^\S.*\n(?: .*\n)*", out.read_text(), re.MULTILINE):
            name = block.partition("==")[0]
            found[name] = found.get(name, "") + block
    return found


def read(layer: str) -> str:
    """The text of a layer; empty if it has not been locked yet."""
    file = FOLDER / f"{layer}.lock"
    return file.read_text() if file.exists() else ""


def write(layer: str, requirements: Iterable[str]) -> None:
    """Replaces a layer."""
    (FOLDER / f"{layer}.lock").write_text("# Written by `make lock`\n" + "".join(requirements))


if __name__ == "__main__":
    main(*sys.argv[1:])
