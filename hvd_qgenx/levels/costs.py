"""Tables of what compressors cost."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from hvd_qgenx.levels.measure import Cost
from hvd_qgenx.tables import drawn

COLUMNS = ("source", "compressor", "setting", "error", "bits", "huffman", "entropy", "bound")

Costs = Mapping[tuple[str, str, str], Cost]
"""Costs by source, compressor and setting."""


def rows(costs: Costs) -> list[dict[str, Any]]:
    """Returns a row for every cost, with ``COLUMNS`` as keys; None stands for a compressor without symbols."""
    return [
        dict(zip(COLUMNS, (*names, cost.error, cost.bits, cost.huffman, cost.entropy, cost.bound), strict=True))
        for names, cost in costs.items()
    ]


def write_csv(costs: Costs, path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows(costs))


def tables(costs: Costs, width: int) -> str:
    """Returns a table as text for every source."""
    texts = []
    for source in dict.fromkeys(source for source, _, _ in costs):
        table = Table(title=source)
        table.add_column("compressor")
        for heading in ("", "error", "bits", "Huffman", "entropy", "error x 2^(2 bits)"):
            table.add_column(heading, justify="right")
        for (where, name, setting), cost in costs.items():
            if where == source:
                coded = [f"{bits:.3f}" if bits is not None else "-" for bits in (cost.huffman, cost.entropy)]
                relative = f"{cost.error / cost.bound:.3g}"
                table.add_row(name, setting, f"{cost.error:.3g}", f"{cost.bits:.3f}", *coded, relative)
        texts.append(drawn(table, width))
    return "\n".join(texts)
