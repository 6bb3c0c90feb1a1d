"""Parses the command line of torchrun."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import PurePosixPath
from typing import NoReturn

from hvd_qgenx.mpijob import launcher
from hvd_qgenx.mpijob.launcher import PROGRAM

MODULE, PACKAGE = "torch.distributed.run", "hvd_qgenx"
OVERRIDES = {
    "nnodes": "PET_NNODES",
    "nproc_per_node": "PET_NPROC_PER_NODE",
    "node_rank": "PET_NODE_RANK",
    "master_addr": "PET_MASTER_ADDR",
    "master_port": "PET_MASTER_PORT",
}
"""Options of torchrun, and the operator's variables in whose place they are taken."""
RESERVED = tuple(OVERRIDES.values())


@dataclass(frozen=True)
class TorchLaunch:
    """The ranks and the program that a command line of torchrun starts."""

    options: dict[str, str]
    """The options of ``OVERRIDES`` that are given."""
    alone: bool
    """Nodes do not look for each other."""
    script: str
    is_file: bool
    """The script is a file of Python, neither a program nor a module."""
    command: tuple[str, ...] | None
    """Words after ``hvd-qgenx``; None: another program is started."""
    expected: int | None
    """The value of ``--expect-ranks``."""


def read(line: Sequence[str]) -> TorchLaunch | None:
    """Parses torchrun's command in a container's words; None if there is none.

    Raises:
        ValueError: torchrun would refuse it, or a number of ranks is not a number.
    """
    from torch.distributed.run import get_args_parser  # takes a while to import

    words = [launcher.unescaped(word) for word in launcher.unwrapped(list(line))]
    start = next((at for at, word in enumerate(words) if PurePosixPath(word).name in ("torchrun", MODULE)), None)
    if start is None:
        return None
    parser = get_args_parser()
    parser.set_defaults(**dict.fromkeys(OVERRIDES), standalone=False)  # its own are read from the environment
    parser.error = _refuse  # type: ignore[method-assign]
    try:
        with redirect_stdout(StringIO()):  # it may ask for help
            found = parser.parse_args(words[start + 1 :])
    except SystemExit:
        _refuse("asks for help, and starts nothing")
    ours = found.training_script == PACKAGE if found.module else PurePosixPath(found.training_script).name == PROGRAM
    command = tuple(found.training_script_args) if ours else None
    return TorchLaunch(
        {name: str(getattr(found, name)) for name in OVERRIDES if getattr(found, name) is not None},
        bool(found.standalone),
        found.training_script,
        not (found.module or found.no_python),
        command,
        launcher.number(command, launcher.EXPECTED) if command else None,
    )


def _refuse(message: str) -> NoReturn:
    raise ValueError(f"torchrun: {message}")
