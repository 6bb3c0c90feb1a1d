"""Compares the cost model with measurements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hvd_qgenx.bench.calibration import Observation, calibrate
from hvd_qgenx.bench.exchange import FP32 as HOROVOD
from hvd_qgenx.bench.files import Measured
from hvd_qgenx.bench.tables import Row, Table, group, milliseconds, where
from hvd_qgenx.exchange import ConcreteExchange
from hvd_qgenx.exchange.cost import FLOAT_BYTES, FP32, CodecSpeed, Machine, Ranks
from hvd_qgenx.exchange.pipeline import IN_FLIGHT
from hvd_qgenx.exchange.registry import concrete

SMALL, LARGE = 10_000, 1_000_000
"""Exchanges of up to ``SMALL`` coordinates show the latency, those from ``LARGE`` on the bandwidth."""


@dataclass(frozen=True)
class Check:
    """Exchanges in one place, and the machine fitted to its uncompressed and its small ones."""

    place: str
    machine: Machine
    rows: list[Row]
    observations: list[Observation]
    """One for every row."""

    def table(self) -> Table:
        """Returns a table of measured and predicted times; a star marks rows that the machine's constants come from."""
        return Table(
            f"{self.place}: {constants(self.machine)}",
            ("system", "gradients", "measured, ms", "model, ms", "model / measured"),
            [
                (
                    row["system"] + " *" * tells_of_machine(row),
                    f"{row['numel']:,}",
                    milliseconds(seen.seconds),
                    milliseconds(seen.predicted(self.machine)),
                    f"{seen.predicted(self.machine) / seen.seconds:.2f}",
                )
                for row, seen in zip(self.rows, self.observations, strict=True)
            ],
        )


def check(found: Sequence[Measured]) -> list[Check]:
    """Returns a check for every place where Horovod was measured too.

    Rows whose compressor has no measured speed are left out.
    """
    speeds = [row for measured in found if measured.kind == "codec" for row in measured.rows]
    seen = [
        (row, observed)
        for measured in found
        if measured.kind == "exchange"
        for row in measured.rows
        if row["fp32_ratio"] is not None and (observed := observation(row, speeds, measured.machine["cores"]))
    ]
    places = group([row for row, _ in seen], where)
    return [
        Check(
            place,
            calibrate([observed for row, observed in seen if where(row) == place and tells_of_machine(row)]),
            rows,
            [observed for row, observed in seen if where(row) == place],
        )
        for place, rows in places.items()
    ]


def observation(row: Row, speeds: Sequence[Row], cores: int) -> Observation | None:
    """Converts a row of an exchange for the model; None if ``speeds`` does not have its compressor."""
    codec = codec_of(row, speeds)
    if codec is None:
        return None
    ranks = Ranks(row["hosts"], row["ranks"] // row["hosts"])
    shared = codec.shared(row["ranks_on_machine"], cores)
    seconds = row["seconds"]["median"]
    return Observation(row["pattern"], ranks, row["numel"], shared, seconds, row["slices"], IN_FLIGHT)


def codec_of(row: Row, speeds: Sequence[Row]) -> CodecSpeed | None:
    """Returns the speed of an exchange's compressor, at the measured size nearest to that of a slice.

    Uncompressed sums need no codec. None if the compressor was not measured.
    """
    if row["system"] == HOROVOD or (row["system"] == "none" and concrete()[row["pattern"]].reduction == "average"):
        return FP32
    known = [
        one
        for one in speeds
        if (one["configuration"], one["device"], one["dtype"], one["threads"])
        == (row["configuration"], "cpu", "float32", 1)
    ]
    if not known:
        return None
    length = math.log(row["numel"] / row["slices"])
    nearest = min(known, key=lambda one: abs(math.log(one["size"]) - length))
    size, taken = FLOAT_BYTES * nearest["size"], (nearest[f"{action}_seconds"] for action in ("encode", "accumulate"))
    return CodecSpeed(nearest["bits"], *(size / seconds["median"] for seconds in taken))


def best_slices(
    exchange: type[ConcreteExchange],
    machine: Machine,
    ranks: Ranks,
    numel: float,
    codec: CodecSpeed,
    depth: int = IN_FLIGHT,
    most: int = 256,
) -> int:
    """Returns the number of slices, up to ``most``, with the lowest cost; the smallest on a tie."""
    return min(range(1, most + 1), key=lambda slices: exchange.cost(machine, ranks, numel, codec, slices, depth))


def tells_of_machine(row: Row) -> bool:
    """Returns whether the machine's constants are fitted to this row, where codec and slices play no part."""
    return bool(row["numel"] <= SMALL or (row["system"] == HOROVOD and row["numel"] >= LARGE))


def constants(machine: Machine) -> str:
    """Describes the machine's constants; those that no measurement depended on are left out."""
    said = [
        f"B = {machine.bandwidth / 1e6:.4g} MB/s" if machine.bandwidth < math.inf else "",
        f"M = {machine.local_bandwidth / 1e6:.4g} MB/s" if machine.local_bandwidth < math.inf else "",
        f"a = {1e6 * machine.latency:.3g} us",
        f"g = {1e6 * machine.negotiation:.3g} us",
    ]
    return ", ".join(filter(None, said))
