"""Registers the compressor of CONTRIBUTING.md, from the page as it stands: ``pytest -p tests.compressors.guide``."""

from tests.documents import ROOT, blocks

(BLOCK,) = blocks(ROOT / "CONTRIBUTING.md", "python")
exec(compile(BLOCK.text, BLOCK.page, "exec"), {"__name__": __name__})
