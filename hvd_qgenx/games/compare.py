"""Runs many plays: in processes on all cores, or one after the other over the ranks of a launcher."""

import inspect
import multiprocessing
import os
import pickle
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from compressors import Compressor
from hvd_qgenx import children, exchange, plugins
from hvd_qgenx.errors import TrainingError
from hvd_qgenx.games.base import Game
from hvd_qgenx.games.noise import Noise
from hvd_qgenx.games.play import Record, play
from hvd_qgenx.transport import Transport, inprocess
from hvd_qgenx.transport.cores import one_thread

WORTH_A_PROCESS = 20_000
"""Iterations, over all workers, that take about as long as to start processes."""


@dataclass(frozen=True)
class Play:
    """One play of a comparison; can be pickled."""

    game: Callable[[int], Game]
    """Function that makes the game for a seed."""
    method: str
    compressor: tuple[str, Compressor]
    """The user's text, and what it makes."""
    noise: tuple[str, Noise]
    """The user's text, and what it makes."""
    workers: int
    seed: int
    iterations: int
    exchange: str
    lr: float | None = None

    def over(self, transport: Transport) -> Record:
        """Plays on this rank; all ranks must call it alike."""
        return play(
            self.game(self.seed),
            self.method,
            self.compressor[1],
            exchange.make(self.exchange, transport),
            self.iterations,
            self.noise[1],
            self.lr,
            self.seed,
        )

    def alone(self) -> Record:
        """Plays with all workers in this process, as the first of them sees it."""
        return inprocess.run(self.workers, self.over)[0]


def always(game: Game) -> Callable[[int], Game]:
    """Returns a function that makes the same game whatever the seed; can be pickled."""
    return partial(_same, game)


def with_arguments(make: Callable[..., Game], values: Mapping[str, Any]) -> Callable[[int], Game]:
    """Returns a function that makes the game of these arguments for a seed, if it takes one; can be pickled."""
    return partial(_made, make, "seed" in inspect.signature(make).parameters, dict(values))


def compare(plays: Sequence[Play], jobs: int | None = None) -> Generator[Record, None, None]:
    """Yields the records of all plays, in order, each as soon as it and the plays before it are done.

    Args:
        plays: plays whose workers are threads.
        jobs: number of processes; None for one on each core if the plays are long enough, else this process alone.
    """
    if jobs is None:
        jobs = len(_cores()) if sum(play.iterations * play.workers for play in plays) > WORTH_A_PROCESS else 1
    jobs = min(jobs, len(plays))
    if jobs == 1:
        for each in plays:
            with one_thread(), _one_core():
                record = each.alone()
            yield record
        return
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for job in range(jobs):
        cores.put(_cores()[job % len(_cores())])
    with (
        ProcessPoolExecutor(jobs, context, _settle, (cores, [plugin.name for plugin in plugins.named()])) as pool,
        children.killed(),
    ):
        with children.undisturbed():
            started = [pool.submit(_unpickled, pickle.dumps(play)) for play in plays]
        try:
            for future in started:
                yield future.result()
        except BrokenProcessPool as error:
            raise TrainingError("a process that plays has died, as when memory runs out; try fewer --jobs") from error


def compare_over(transport: Transport, plays: Sequence[Play]) -> Generator[Record, None, None]:
    """Yields the records of all plays, whose workers are the ranks of a launcher; every rank must call it alike."""
    for each in plays:
        with one_thread():
            record = each.over(transport)
        yield record


def _same(game: Game, seed: int) -> Game:  # noqa: ARG001 (called as every maker of games)
    return game


def _made(make: Callable[..., Game], takes_seed: bool, values: dict[str, Any], seed: int) -> Game:
    return make(**values, seed=seed) if takes_seed else make(**values)


def _unpickled(play: bytes) -> Record:
    """Plays with all workers in this process; a play that torch had pickled would need the sender to live."""
    found: Play = pickle.loads(play)
    return found.alone()


def _settle(cores: Any, modules: Sequence[str]) -> None:
    """Prepares a process of the pool: one thread, on a core of its own; it ends with the process that has the pool."""
    children.end_with_parent()
    plugins.prepare(modules)
    torch.set_num_threads(1)
    _stay_on({cores.get()})


@contextmanager
def _one_core() -> Iterator[None]:
    """Keeps threads that are started inside to one core.

    Workers are threads that take turns at the interpreter; passing it between cores takes several
    times as long as what they compute.
    """
    before = _cores()
    _stay_on({before[0]})
    try:
        yield
    finally:
        _stay_on(set(before))


def _cores() -> list[int]:
    """Returns the cores that this thread may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _stay_on(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
