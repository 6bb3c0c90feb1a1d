"""One of several ranks that time all exchanges that the doctor chooses among.

    python -m tests.cluster.measured MODEL REPEATS FILE COMPRESSOR ...

Rank 0 writes rows as those of ``hvd-qgenx bench exchange`` into FILE.
"""

import sys
from functools import partial
from pathlib import Path

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.bench.exchange import Plan, measure
from hvd_qgenx.bench.registry import MODELS
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.runs.folder import write_json
from hvd_qgenx.transport import launched
from hvd_qgenx.transport.cores import share_cores


def main(model: str, repeats: str, file: str, *texts: str) -> None:
    transport = launched()
    share_cores(transport)
    load = Workload(model, MODELS[model]())
    made = {text: compressors.parse(text) for text in ("none", *texts)}
    payloads = {text: compressor for text, compressor in made.items() if compressor.reduction == "gather"}
    rows = []
    for how, own in (("auto", made), ("allgather", payloads)):
        plan = Plan(load, own, partial(exchange.make, how), int(repeats), rate=None, stock=False)
        rows += measure(plan, transport)
    if transport.rank == 0:
        write_json(Path(file), rows)
    transport.all_gather_object(None, "final-barrier")


if __name__ == "__main__":
    main(*sys.argv[1:])
