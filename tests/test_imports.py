"""Imports between rooms point down, and none goes in a circle: docs/design.md draws what is read here."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOUNDATION = "hvd_qgenx"
"""The modules beside the rooms: errors, registries."""
ROOMS = (
    *("compressors", FOUNDATION, "hvd_qgenx.transport", "hvd_qgenx.exchange", "hvd_qgenx.gossip"),
    *("hvd_qgenx.optim", "hvd_qgenx.runs"),
    *("hvd_qgenx.nets", "hvd_qgenx.data", "hvd_qgenx.training", "hvd_qgenx.levels", "hvd_qgenx.games"),
    *("hvd_qgenx.scores", "hvd_qgenx.tasks", "hvd_qgenx.testing", "hvd_qgenx.bench", "hvd_qgenx.doctor"),
    *("hvd_qgenx.mpijob", "hvd_qgenx.trainjob", "hvd_qgenx.report", "hvd_qgenx.sweep", "hvd_qgenx.cli"),
)
"""From the bottom to the top: each imports only those before it."""
FRONT_DOORS = ("hvd_qgenx", "hvd_qgenx.__main__", "hvd_qgenx.ddp", "hvd_qgenx.torch")
"""Modules that users meet first, and that no room imports."""


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("compressors", "hvd_qgenx"):
        for path in (ROOT / package).rglob("*.py"):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(modules())


def imports(path: Path) -> set[str]:
    """All modules of this project that a file imports, in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def room(name: str) -> str:
    return max((each for each in ROOMS if name == each or name.startswith(f"{each}.")), key=len)


def test_every_folder_is_a_room():
    folders = {f"hvd_qgenx.{path.parent.name}" for path in (ROOT / "hvd_qgenx").glob("*/__init__.py")}
    assert folders == {each for each in ROOMS if each.startswith("hvd_qgenx.")}


def test_imports_between_rooms_point_down():
    arrows: Counter[tuple[str, str]] = Counter()
    for name, path in MODULES.items():
        for imported in imports(path):
            arrows[room(name), room(imported)] += 1
            if name not in FRONT_DOORS:
                assert ROOMS.index(room(imported)) <= ROOMS.index(room(name)), f"{name} imports {imported}"
            assert imported != "hvd_qgenx.torch"
    assert arrows["hvd_qgenx.cli", "hvd_qgenx.training"]  # imports are read at all


@pytest.mark.parametrize("package", ROOMS)
def test_no_import_goes_in_a_circle(package):
    own = {name: path for name, path in MODULES.items() if room(name) == package and name not in FRONT_DOORS}
    graph = {name: imports(path) & own.keys() for name, path in own.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(own)
