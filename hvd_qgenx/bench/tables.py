"""Tables of measurements, for a terminal and for a page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.table import Table as RichTable

from hvd_qgenx.bench.codec import ACTIONS, COPY
from hvd_qgenx.tables import drawn

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of formatted cells; the first column holds names."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def text(self, width: int = 160) -> str:
        """Returns the table drawn for a terminal."""
        table = RichTable(title=self.title)
        for index, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
        for row in self.rows:
            table.add_row(*row)
        return drawn(table, width)

    def markdown(self) -> str:
        """Returns the table in Markdown, without its title."""
        marks = ("---", *["---:"] * (len(self.headings) - 1))
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (self.headings, marks, *self.rows))


def group(rows: Iterable[Row], key: Callable[[Row], T]) -> dict[T, list[Row]]:
    """Groups rows by key, in order of first appearance."""
    groups: dict[T, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def codec_tables(rows: Sequence[Row]) -> list[Table]:
    """Returns a table for every device, dtype, number of threads and size."""
    return [
        codec_table(own) for own in group(rows, lambda r: (r["device"], r["dtype"], r["threads"], r["size"])).values()
    ]


def codec_table(rows: Sequence[Row]) -> Table:
    """Returns the speeds of compressors on vectors of one kind, in GB of float32 a second and relative to a copy."""
    first = rows[0]
    copy = _speed(first["size"], first[f"{COPY}_seconds"]["median"])
    threads = f", {_count(first['threads'], 'thread')}" if first["device"] == "cpu" else ""
    headings = ["compressor", "bits", "bytes"]
    for action in ACTIONS:
        headings += [f"{action} GB/s", "/ copy"]
    how = f"{first['dtype']} on {first['device']} by {first['kernels']}{threads}"
    return Table(
        f"{first['size']:,} {how}; a copy: {copy:.2f} GB/s",
        tuple(headings),
        [
            (
                label(row),
                f"{row['bits']:.2f}",
                f"{row['payload_bytes']:,}",
                *(cell for action in ACTIONS for cell in _codec_cells(row, action)),
            )
            for row in rows
        ],
    )


def label(row: Row) -> str:
    """Returns a compressor's name and bit width."""
    return f"{row['compressor']}, {row['setting']}" if row["setting"] else str(row["compressor"])


def _codec_cells(row: Row, action: str) -> tuple[str, str]:
    seconds = row[f"{action}_seconds"]
    speeds = [_speed(row["size"], seconds[which]) for which in ("median", "max", "min")]
    return "{:.3g} ({:.2g}-{:.2g})".format(*speeds), f"{row[f'{action}_ratio']:.3g}"


def exchange_tables(rows: Sequence[Row]) -> list[Table]:
    """Returns a table for every model, number of ranks and rate."""
    return [exchange_table(own) for own in group(rows, setting).values()]


def setting(row: Row) -> tuple[Any, ...]:
    """Returns the key of comparable exchanges."""
    return row["model"], row["numel"], row["ranks"], row["hosts"], row["rate"]


def exchange_table(rows: Sequence[Row]) -> Table:
    """Returns the times of the slowest rank, with the average seconds of their phases."""
    first = rows[0]
    ratios = {"floor_ratio": "/ floor", "fp32_ratio": "x fp32", "fp16_ratio": "x fp16"}
    known = [key for key in ratios if first[key] is not None]
    return Table(
        f"{first['model']}: {first['numel']:,} gradients in {_count(first['tensors'], 'tensor')}, {where(first)}",
        ("system", "exchange", "MB sent", "ms", *(ratios[key] for key in known), "encode", "wire", "decode"),
        [
            (
                row["system"],
                row["pattern"] + (f", {row['slices']} slices" if row["slices"] > 1 else ""),
                f"{row['bytes_sent'] / 1e6:.3f}",
                "{median} ({min}-{max})".format(**{key: milliseconds(took) for key, took in row["seconds"].items()}),
                *(f"{row[key]:.2f}" for key in known),
                *(milliseconds(row[f"{phase}_seconds"]) for phase in ("encode", "wire", "decode")),
            )
            for row in rows
        ],
    )


def where(row: Row) -> str:
    """Describes ranks, hosts and links."""
    hosts = f"{_count(row['ranks'], 'rank')} on {_count(row['hosts'], 'host')}"
    return f"{hosts}, {rate_in_words(row['rate'])}" if row["rate"] else hosts


def rate_in_words(rate: float) -> str:
    """Formats bytes per second as bits per second."""
    for unit, size in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if 8 * rate >= size:
            return f"{8 * rate / size:g} {unit}/s"
    return f"{8 * rate:g} bit/s"


def milliseconds(seconds: float) -> str:
    """Formats seconds as milliseconds with three significant digits."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _speed(size: int, seconds: float) -> float:
    """Returns GB of float32 per second."""
    return 4e-9 * size / seconds
