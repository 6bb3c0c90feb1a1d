"""Pages of the site that come from other files: commands, example scripts, a notebook, contributing, changes.

MkDocs calls the functions ``on_...`` (``hooks`` in mkdocs.yml).
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from hvd_qgenx.cli import reference

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages to those in ``docs/``."""
    pages = {
        "commands.md": reference.page(),
        "examples.md": examples(),
        "quantizers.md": notebook(ROOT / "examples" / "quantizers.ipynb"),
        "contributing.md": moved("CONTRIBUTING.md"),
        "changes.md": moved("CHANGELOG.md"),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leads links to example scripts and notebooks to the pages that have them."""
    scripts = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](examples.md#\1py)", markdown)
    return re.sub(r"\]\((?:\.\./)?examples/(\w+)\.ipynb\)", r"](\1.md)", scripts)


def examples() -> str:
    """Returns a page with the scripts in ``examples/``, each under its docstring."""
    parts = ["# Example scripts", "Short, complete scripts to start from; the tests run each of them."]
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = path.read_text()
        parts += [f"## {path.name}", ast.get_docstring(ast.parse(text)) or "", f"```python\n{code_of(text)}```"]
    return "\n\n".join(parts)


def notebook(path: Path) -> str:
    """Returns a page with the cells of a notebook and the outputs that it was stored with."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text'])}```")
            else:
                parts.append(f"![](data:image/png;base64,{''.join(output['data']['image/png']).strip()})")
    return "\n\n".join(parts)


def code_of(script: str) -> str:
    """Returns a script without its docstring."""
    return script.partition('"""\n\n')[2]


def moved(name: str) -> str:
    """Returns a page of the project's folder, with links as they are from ``docs/``."""
    return (ROOT / name).read_text().replace("](docs/", "](")
