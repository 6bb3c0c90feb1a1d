"""One rank of: every exchange with every compressor. Rank 0 writes a digest of each mean as JSON."""

import hashlib
import json
import sys
from pathlib import Path

import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.exchange import Codec
from hvd_qgenx.transport import Transport, launched


def digests(transport: Transport) -> dict[str, list[object]]:
    """SHA-256 of the mean by every decoded-payload exchange, for sizes that leave chunks empty too."""
    found = {}
    made = {name: compressors.make(name, seed=3) for name in compressors.names()}
    made["intsgd"] = compressors.make("intsgd", seed=3, first_scale=20.0)
    made["coded"] = compressors.Coded(made["alq"])
    for name, common in made.items():
        hows = ("allgather", *(() if common.shared_randomness else ("two-phase",)))
        for how in (*hows, *(("integer-sum",) if common.reduction == "sum" else ())):
            for numel in (1, 5, 3000, 10000):
                compressor = common.for_rank(transport.rank, ranks=transport.size)
                vector = torch.randn(numel, generator=torch.Generator().manual_seed(10 * numel + transport.rank))
                label = f"{name} {how} {numel}"
                method, codec = (
                    exchange.make(how, transport, slice_bytes=2000),
                    Codec([(compressor, numel)], vector.dtype),
                )
                transfer = method.begin(vector, codec, label)
                digest = hashlib.sha256(method.compute_mean(transfer).numpy().tobytes()).hexdigest()
                everyone = transport.all_gather_object((digest, transfer.report.bytes_sent), f"{label} digest")
                assert len({theirs for theirs, _ in everyone}) == 1, f"{label} differs between ranks"
                found[label] = [digest, [sent for _, sent in everyone]]
    return found


if __name__ == "__main__":
    transport = launched()
    found = digests(transport)
    if transport.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(found))
