"""The site of the documentation: it builds, its links lead somewhere, and it has every public name and command."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest
from pymdownx.slugs import slugify

from tests.documents import DOCS, ROOT
from tests.test_imports import FRONT_DOORS

INTERNAL = {"compressors.kernels.cpu"}
"""Packages whose ``__all__`` is for this project alone, as is that of any module but those that users meet first."""
TORCH = {"step", "state_dict", "load_state_dict"}
"""Methods that mean what torch's mean."""
SLUG = slugify(case="lower")


@pytest.fixture(scope="module")
def code() -> griffe.ModulesCollection:
    """Both packages, as the site reads them."""
    loader = griffe.GriffeLoader(search_paths=[ROOT])
    for package in ("compressors", "hvd_qgenx"):
        loader.load(package)
    return loader.modules_collection


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr  # with --quiet it would be 0 in any case
    return folder


def modules(parent: griffe.Module) -> Iterator[griffe.Module]:
    yield parent
    for child in parent.modules.values():
        if not child.is_alias:
            yield from modules(child)


def own(found: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """Returns the object itself; None: it has no assignment of its own, as in ``A, B = 1, 2``."""
    try:
        return found.final_target if isinstance(found, griffe.Alias) else found
    except griffe.AliasResolutionError:
        return None


def public(code: griffe.ModulesCollection) -> dict[str, griffe.Object | None]:
    """Returns what every ``__all__`` names, by where it is."""
    found = {}
    for package in ("compressors", "hvd_qgenx"):
        for module in modules(code[package]):
            meant = (module.is_init_module or module.path in FRONT_DOORS) and module.path not in INTERNAL
            for name in (module.exports or ()) if meant else ():
                member = module[name]
                if not member.is_alias and member.is_module and name in member.members:  # they share the name
                    member = member[name]
                found[f"{module.path}.{name}"] = own(member)
    return found


def without_docstring(name: str, found: griffe.Object | None) -> Iterator[str]:
    """Yields a name, and its methods, where neither they nor the methods that they override say what they do."""
    if found is None or found.docstring is None:
        yield name
    elif found.is_class:
        families = [found, *found.mro()]
        for name, member in found.members.items():
            if member.is_function and not name.startswith("_") and name not in TORCH:
                meanings = [each.members[name].docstring for each in families if name in each.members]
                if not any(meanings):
                    yield member.path


def test_every_public_name_has_a_docstring(code):
    names = public(code)
    assert len(names) > 150
    missing = {path for name, found in names.items() for path in without_docstring(name, found)}
    assert not missing, "\n".join(sorted(missing))


def test_every_public_name_is_on_a_page(code):
    text = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    objects = [own(code[path]) for path in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]
    shown = {found.path for found in objects if found}
    missing = [name for name, found in public(code).items() if found and found.path not in shown]
    assert not missing, "\n".join(missing)


def test_the_site_asks_no_other_host(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r"""<(?:script|img|link rel="?stylesheet)[^>]*=["']?https?://[^>]*>""", page.read_text())


def test_examples_of_docstrings_are_shown_as_code(site):
    assert not [page.name for page in site.rglob("*.html") if "<blockquote>\n<blockquote>" in page.read_text()]


def test_every_command_is_on_its_page(site):
    from hvd_qgenx.cli.reference import helps

    text = (site / "commands.html").read_text()
    assert all(f'id="{SLUG(context.command_path, "-")}"' in text for _, context in helps())


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text()
    for page in DOCS.rglob("*.md"):
        assert f'href="{page.relative_to(DOCS).with_suffix(".html")}"' in home, page


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {SLUG(re.sub(r"[`*]", "", heading), "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_project_lead_somewhere(name):
    """The site's own are checked when it is built."""
    found = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", (ROOT / name).read_text())
    assert found
    for target, anchor in found:
        file = ROOT / (target or name)
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"
