"""Imports of the packages that exchange gradients point down, and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("compressors", "hvd_qgenx.transport", "hvd_qgenx.exchange", "hvd_qgenx.optim")
"""Each imports only those before it, and the modules of ``hvd_qgenx`` itself."""


def modules(package):
    for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path):
    """All that a file imports, in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name, package):
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("package", ORDER[1:])
def test_imports_point_down(package):
    allowed = ORDER[: ORDER.index(package) + 1]
    rooms = {f"hvd_qgenx.{path.name}" for path in (ROOT / "hvd_qgenx").iterdir() if (path / "__init__.py").exists()}
    for name, path in modules(package):
        for imported in imports(path):
            above = [room for room in (*rooms, *ORDER) if inside(imported, room) and room not in allowed]
            assert not above, f"{name} imports {imported}"


@pytest.mark.parametrize("package", ["hvd_qgenx.exchange", "hvd_qgenx.optim"])
def test_modules_of_a_package_do_not_import_each_other_in_a_circle(package):
    found = dict(modules(package))
    del found[package]  # which re-exports
    graph = {name: {imported for imported in imports(path) if imported in found} for name, path in found.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(found)
