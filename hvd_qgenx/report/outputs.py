"""A page of what commands have drawn and printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hvd_qgenx.report.page import Picture, data_uri, render, save

TEMPLATE = "outputs.html.j2"


@dataclass(frozen=True)
class Output:
    """The results of one command."""

    name: str
    command: str
    printed: str
    folder: Path

    @property
    def pictures(self) -> list[Picture]:
        """The pictures in the command's folder."""
        return [Picture(path.stem, "", data_uri(path)) for path in sorted(self.folder.glob("*.png"))]


def write(outputs: Sequence[Output], out: Path, title: str) -> Path:
    """Writes ``index.html`` into ``out``, which exists; returns it."""
    return save(render(TEMPLATE, title=title, outputs=outputs), out)
