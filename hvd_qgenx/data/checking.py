"""Checks the pictures of a data set before training, all of them, and remembers what it has found.

A file is decoded once: its result is kept in the user's cache until its size or the time of its last change differs.
"""

import hashlib
import io
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import PIL
import torch
from torch import Tensor

from hvd_qgenx.arrays import UnreadableError
from hvd_qgenx.data.cache import Cached
from hvd_qgenx.data.decoding import decoded, without_warnings
from hvd_qgenx.data.images import ImageFiles
from hvd_qgenx.data.wording import counted
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.progress import progress_bar
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0

VERSION = 1
"""Version of the format in which verdicts are kept."""
NAMED = 3
"""Damaged pictures that a sentence names; of more, a warning lists all."""
KEPT_EVERY = 10_000
"""Pictures between two times that verdicts are kept."""
AHEAD = 64
"""Pictures that wait for a thread."""

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """The result of checking a file."""

    checksum: int
    """Checksum of its contents."""
    fault: str
    """Why it cannot be read; empty if it can."""


class Findings(NamedTuple):
    """The results of checking all files of a data set."""

    checksums: Tensor
    """int64 (number of files,)."""
    faults: dict[int, str]
    """Why files cannot be read, by their indices."""


def checked(images: ImageFiles, transport: Transport, skip_damaged: bool) -> ImageFiles:
    """Returns the images whose files can be read, as rank 0 finds them. Collective.

    Raises:
        ConfigurationError: on all ranks; a file cannot be read, or, with ``skip_damaged``, no image of a class is left.
    """
    findings = from_rank_0(transport, "images", lambda: examine(images))
    if findings.faults and not skip_damaged:
        raise ConfigurationError(_refusal(images, findings.faults))
    found = images.checked(findings.checksums, list(findings.faults))
    _require_some(found)
    return found


def examine(images: ImageFiles) -> Findings:
    """Decodes the files that have changed since their last check."""
    memory = Memory(images)
    due = [index for index, verdict in enumerate(memory.verdicts) if verdict is None]
    results = side_by_side(partial(_judge, images.folder), (images.files[index] for index in due))
    bar = progress_bar(len(due), f"checking {images.name}", "image")
    try:
        with without_warnings(), bar, closing(results) as verdicts:
            for number, (index, verdict) in enumerate(zip(due, verdicts, strict=True), 1):
                memory.verdicts[index] = verdict
                bar.update()
                if number % KEPT_EVERY == 0:  # a process that is killed has no other chance
                    memory.keep()
    finally:
        if due:  # an interrupted check goes on where it was
            memory.keep()
    found = [verdict for verdict in memory.verdicts if verdict is not None]
    faults = {index: verdict.fault for index, verdict in enumerate(found) if verdict.fault}
    if len(faults) > NAMED:
        log.warning("\n".join([f"{len(faults):,} images cannot be read:", *_places(images, faults)]))
    return Findings(torch.tensor([verdict.checksum for verdict in found], dtype=torch.int64), faults)


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yields the results of a function for all items, in their order, from threads that work at the same time."""
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _judge(folder: Path, file: str) -> Verdict:
    """Reads and decodes a file."""
    path, checksum = folder / file, 0
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise UnreadableError("it is missing, or no file")
        contents = path.read_bytes()
        checksum = int.from_bytes(hashlib.blake2b(contents, digest_size=8).digest(), "big", signed=True)
        if not contents:
            raise UnreadableError("it is empty")
        decoded(io.BytesIO(contents))
    except OSError as error:
        return Verdict(checksum, error.strerror or type(error).__name__)
    except UnreadableError as error:
        return Verdict(checksum, str(error))
    return Verdict(checksum, "")


class Memory:
    """The verdicts on a data set's files, kept from one check to the next.

    Attributes:
        verdicts: by the index of the file; None: it has no verdict, or has changed since.
    """

    def __init__(self, images: ImageFiles) -> None:
        key = {"version": VERSION, "pillow": PIL.__version__, "folder": os.path.realpath(images.folder)}
        self._files, self._stamps = images.files, [tuple(stamp) for stamp in images.stamps.tolist()]
        self._cached = Cached("pictures", images.name, key)
        self._known = self._read()
        self.verdicts: list[Verdict | None] = [
            verdict if stamp == before else None
            for stamp, (before, verdict) in zip(
                self._stamps, (self._known.get(file, (None, None)) for file in self._files), strict=True
            )
        ]

    def keep(self) -> None:
        """Writes the verdicts, beside those on files that this data set does not have."""
        known = self._known | {
            file: (stamp, verdict)
            for file, stamp, verdict in zip(self._files, self._stamps, self.verdicts, strict=True)
            if verdict is not None
        }
        numbers = [(*stamp, verdict.checksum) for stamp, verdict in known.values()]
        faults = {name: verdict.fault for name, (_, verdict) in known.items() if verdict.fault}
        self._cached.write(
            {
                "names": _packed("\0".join(known)),
                "numbers": torch.tensor(numbers, dtype=torch.int64),
                "faults": _packed(json.dumps(faults)),
            }
        )

    def _read(self) -> dict[str, tuple[tuple[int, ...], Verdict]]:
        """Returns stamps and verdicts by the names of files; none if nothing can be read."""
        arrays = self._cached.read() or {}
        try:
            names = _unpacked(arrays["names"]).split("\0")
            faults = json.loads(_unpacked(arrays["faults"]))
            rows = zip(names, arrays["numbers"].tolist(), strict=True)
            return {
                name: ((size, changed), Verdict(checksum, str(faults.get(name, ""))))
                for name, (size, changed, checksum) in rows
            }
        except (KeyError, ValueError, TypeError, AttributeError):
            return {}


def _packed(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text.encode(errors="surrogateescape")), dtype=torch.uint8)


def _unpacked(text: Tensor) -> str:
    return text.numpy().tobytes().decode(errors="surrogateescape")


def _places(images: ImageFiles, faults: dict[int, str]) -> list[str]:
    return [f"{images.folder / images.files[index]} ({fault})" for index, fault in faults.items()]


def _refusal(images: ImageFiles, faults: dict[int, str]) -> str:
    places = _places(images, faults)
    if len(places) == 1:
        return f"cannot read the image {places[0]}; repair or remove it, or add --skip-damaged"
    rest = f" and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
    return (
        f"cannot read {len(places):,} of {counted(len(images), 'image')}: {', '.join(places[:NAMED])}{rest}; "
        "repair or remove them, or add --skip-damaged"
    )


def _require_some(images: ImageFiles) -> None:
    """Raises ConfigurationError if all images, or all of a class, are left out."""
    counts = images.labels.bincount(minlength=images.classes).tolist()
    emptied = [name for name, count in zip(images.class_names, counts, strict=False) if not count]
    if emptied or not len(images):
        of = f" of {', '.join(emptied)}" if emptied else ""
        raise ConfigurationError(f"no image{of} in {images.folder} can be read; repair them or name another --data-dir")
