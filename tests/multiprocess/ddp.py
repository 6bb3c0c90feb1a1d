"""One rank of: models trained by DDP with the communication hook, and by ``DistributedOptimizer``.

Rank 0 writes as JSON what every rank found: whether both give the same parameters and bytes, also when the hook's state
was pickled and read again, and what is refused.
"""

import copy
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import compressors
from compressors import Compressor, Exempt, LayerWise
from compressors.layerwise import layer_wise
from hvd_qgenx import ddp
from hvd_qgenx.optim import DistributedOptimizer, layer_kinds
from hvd_qgenx.transport import Transport, launched

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({"name": "none"}, {}),
    "minmax": ({"name": "minmax", "bits": 4}, {}),
    "minmax, views": ({"name": "minmax", "bits": 4}, {"gradient_as_bucket_view": True}),
    "minmax, static graph": ({"name": "minmax", "bits": 4}, {"static_graph": True}),
    "topk, error": ({"name": "topk", "ratio": 0.05, "feedback": "error"}, {}),
    "powersgd, error": ({"name": "powersgd", "matrix_rank": 2, "feedback": "error"}, {}),
    "intsgd": ({"name": "intsgd", "bits": 8, "scale_from": "gradient"}, {}),
    "intsgd, exempt": ({"name": "intsgd", "bits": 8, "scale_from": "gradient", "exchange": "integer-sum"}, {}),
    "levels": ({"name": "alq", "bits": 3}, {}),
    "levels by layer": ({"name": "alq", "bits": 3, "layer_bits": "global"}, {}),
}
STEPS = 4


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 5))


def batch(rank: int, step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 * step + rank)
    return torch.randn(8, 20, generator=generator), torch.randint(5, (8,), generator=generator)


def loss(model: nn.Module, rank: int, step: int) -> Tensor:
    images, labels = batch(rank, step)
    return nn.functional.cross_entropy(model(images), labels)


def made(asked: dict[str, Any]) -> tuple[Compressor, dict[str, str]]:
    """Returns the compressor of a case, by itself, beside uncompressed biases or by layer, and the other settings."""
    given = dict(asked)
    settings = {name: given.pop(name) for name in ("feedback", "exchange") if name in given}
    name, layer_bits = given.pop("name"), given.pop("layer_bits", None)
    compressor = compressors.make(name, seed=1, **given)
    if layer_bits:
        return LayerWise(compressor, layer_kinds(net()), layer_bits), settings
    return Exempt(compressor) if "exchange" in settings else compressor, settings


def by_hook(transport: Transport, asked: dict[str, Any], how: dict[str, Any], restart: bool = False) -> tuple[Any, Any]:
    """Trains; with ``restart`` the state is pickled and read again in the middle. Returns the model and the state."""
    compressor, settings = made(asked)
    model = net()
    state = ddp.State(model, compressor, **settings)
    for first, last in ((0, STEPS // 2), (STEPS // 2, STEPS)) if restart else ((0, STEPS),):
        wrapped = DistributedDataParallel(model, bucket_cap_mb=0.05, **how)
        wrapped.register_comm_hook(state, ddp.hook)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(first, last):
            state.update_levels_next = step == 1
            optimizer.zero_grad()
            loss(wrapped, transport.rank, step).backward()
            optimizer.step()
        if restart and last < STEPS:
            state = pickle.loads(pickle.dumps(state))
            model = copy.deepcopy(model)
            state.bind(model)
    return model, state


def by_optimizer(transport: Transport, asked: dict[str, Any]) -> tuple[Any, Any]:
    compressor, settings = made(asked)
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    named = model.named_parameters()
    optimizer = DistributedOptimizer(sgd, named, compressor, transport=transport, **settings)
    for step in range(STEPS):
        optimizer.update_levels_next = step == 1
        optimizer.zero_grad()
        loss(model, transport.rank, step).backward()
        optimizer.step()
    return model, optimizer


def levels(layers: LayerWise) -> dict[str, list[float]]:
    """Returns the levels of every group of tensors."""
    return {group: list(learner.levels) for group, learner in layers.learners.items()}


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def accumulated(transport: Transport) -> bool:
    """Two backward passes in one exchange, against their sum by hand."""
    model, plain = net(), net()
    state = ddp.State(model)
    wrapped = DistributedDataParallel(model)
    wrapped.register_comm_hook(state, ddp.hook)
    with wrapped.no_sync():
        loss(wrapped, transport.rank, 0).backward()
    loss(wrapped, transport.rank, 1).backward()
    for rank in range(transport.size):
        for step in (0, 1):
            loss(plain, rank, step).backward()
    close = [
        torch.allclose(a.grad, b.grad / transport.size, atol=1e-6)
        for a, b in zip(model.parameters(), plain.parameters(), strict=True)
        if a.grad is not None and b.grad is not None
    ]
    return len(close) == 6 and all(close) and state.exchange_count == 1


def uneven(transport: Transport) -> list[int]:
    """Rank k has 2 + k batches; returns the exchanges of all ranks."""
    model = net()
    state = ddp.State(model, compressors.make("minmax", bits=4, seed=1))
    wrapped = DistributedDataParallel(model)
    wrapped.register_comm_hook(state, ddp.hook)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with wrapped.join():
        for step in range(2 + transport.rank):
            optimizer.zero_grad()
            loss(wrapped, transport.rank, step).backward()
            optimizer.step()
    return [int(each) for each in transport.all_gather_object(state.exchange_count, "uneven")]


def refused(transport: Transport) -> dict[str, str]:
    """Sentences of what cannot be."""
    found = {}
    model = net()
    state = pickle.loads(pickle.dumps(ddp.State(model, compressors.make("minmax"))))
    for what, given in {"unbound": state, "model": ddp.State(model, compressors.make("minmax"))}.items():
        wrapped = hooked(net(), given)
        found[what] = error_of(lambda: loss(wrapped, transport.rank, 0).backward())  # noqa: B023
    one, two = hooked(model, state := ddp.State(model)), hooked(model, state)
    found["registered twice"] = error_of(lambda: one.register_comm_hook(state, ddp.hook))
    found["two models"] = error_of(lambda: (loss(one, transport.rank, 0) + loss(two, transport.rank, 1)).backward())
    pair = nn.ModuleList([net(), net()])
    half = hooked(pair[0], ddp.State(pair))
    found["half a model"] = error_of(lambda: loss(half, transport.rank, 0).backward())
    group = dist.new_group([0])
    alone = [dist.new_group([rank]) for rank in range(transport.size)][transport.rank]
    wrapped = DistributedDataParallel(net(), process_group=alone)
    found["another group"] = error_of(lambda: ddp.State(wrapped, process_group=dist.group.WORLD))
    found["no member"] = error_of(lambda: ddp.State(model, process_group=group)) if transport.rank else ""
    embedding = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Linear(2, 2))
    found["sparse"] = error_of(lambda: ddp.State(embedding))
    integers = compressors.make("minmax"), "integer-sum"
    found["exchange"] = error_of(lambda: ddp.State(model, integers[0], exchange=integers[1]))
    found["updates"] = error_of(lambda: ddp.State(model, compressors.make("intsgd", scale_from="update")))
    return found


def hooked(model: nn.Module, state: ddp.State) -> DistributedDataParallel:
    wrapped = DistributedDataParallel(model)
    wrapped.register_comm_hook(state, ddp.hook)
    return wrapped


def error_of(call: Callable[[], Any]) -> str:
    """The sentence with which a call fails; empty if it does not."""
    try:
        call()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""


def own_group(transport: Transport) -> bool:
    """Whether a state exchanges gradients in the group of the DDP that it is made from: here each rank's own."""
    alone = [dist.new_group([rank]) for rank in range(transport.size)][transport.rank]
    wrapped, plain = DistributedDataParallel(net(), process_group=alone), net()
    wrapped.register_comm_hook(ddp.State(wrapped), ddp.hook)
    for model in (wrapped, plain):
        loss(model, transport.rank, 0).backward()
    return all(torch.equal(a.grad, b.grad) for a, b in zip(wrapped.parameters(), plain.parameters(), strict=True))


def registered_late(transport: Transport) -> bool:
    """Whether a hook that is registered after a backward pass gives the bits of one that was there from the start."""
    late, early = DistributedDataParallel(net(), bucket_cap_mb=0.05), DistributedDataParallel(net(), bucket_cap_mb=0.05)
    loss(late, transport.rank, 0).backward()
    for model in (late, early):
        model.zero_grad()
        model.register_comm_hook(ddp.State(model, compressors.make("minmax", bits=4, seed=1)), ddp.hook)
        loss(model, transport.rank, 1).backward()
    return all(torch.equal(a.grad, b.grad) for a, b in zip(late.parameters(), early.parameters(), strict=True))


def work(transport: Transport) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (asked, how) in CASES.items():
        model, state = by_hook(transport, asked, how)
        expected, optimizer = by_optimizer(transport, asked)
        again, read = by_hook(transport, asked, how, restart=True)
        found[name] = {
            "same": same(model, expected),
            "bytes": state.report.bytes_sent == optimizer.report.bytes_sent > 0,
            "after restart": same(again, expected),
        }
        if layers := layer_wise(state.compression):
            found["layers"] = levels(layers)
            found["layers kept"] = levels(layer_wise(read.compression)) == found["layers"]
    found["rank"] = transport.rank
    found["accumulated"] = accumulated(transport)
    found["uneven"] = uneven(transport)
    found["own group"] = own_group(transport)
    found["registered late"] = registered_late(transport)
    found["refused"] = refused(transport)
    return found


if __name__ == "__main__":
    transport = launched()
    everyone = transport.all_gather_object(work(transport), "results")
    if transport.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(everyone))
