"""Texts as tokens: their vocabulary, and the three parts of a corpus."""

import difflib
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from hvd_qgenx.data.units import CHARACTERS, WORDS
from hvd_qgenx.errors import ConfigurationError

END, UNKNOWN = "<eos>", "<unk>"
"""The tokens for the end of a line of words, and for words outside of the vocabulary."""
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Vocabulary:
    """All tokens, by number."""

    tokens: tuple[str, ...]
    unit: str
    """``words``, with spaces between, or ``characters``."""

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of every token."""
        return {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Returns the numbers of a text's tokens.

        Raises:
            ConfigurationError: a token is not in the vocabulary; names the nearest that is.
        """
        tokens = split(text, self.unit)
        for token in tokens:
            if token not in self.numbers:
                near = difflib.get_close_matches(token, self.tokens, 1)
                hint = f"; the nearest is {near[0]!r}" if near else ""
                raise ConfigurationError(f"{token!r} is not among the {len(self)} tokens of the vocabulary{hint}")
        return [self.numbers[token] for token in tokens]

    def decode(self, numbers: Iterable[int]) -> str:
        """Returns tokens as text, with line breaks for ends of lines."""
        tokens = (self.tokens[number] for number in numbers)
        if self.unit == CHARACTERS:
            return "".join(tokens)
        lines: list[list[str]] = [[]]
        for token in tokens:
            if token == END:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(" ".join(line) for line in lines)


@dataclass(frozen=True)
class Corpus:
    """Three parts of a text in the same vocabulary."""

    name: str
    vocabulary: Vocabulary
    parts: Mapping[str, Tensor] = field(repr=False)
    """The tokens of ``train``, ``valid`` and ``test``, int32 (n,) each."""
    floor: float | None = None
    """The perplexity of a model that knows the source: exp of its entropy in nats a token; None: unknown."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash that identifies the text and its vocabulary."""
        digest = hashlib.sha256(repr((self.vocabulary.unit, self.vocabulary.tokens)).encode())
        for part in PARTS:
            digest.update(self.parts[part].numpy().data)
        return digest.hexdigest()

    def describe(self) -> str:
        """Returns the sizes in words."""
        sizes = ", ".join(f"{len(self.parts[part]):,}" for part in PARTS)
        return f"{sizes} tokens to train, validate and test on, {len(self.vocabulary):,} different ones"


def split(line: str, unit: str) -> Sequence[str]:
    """Returns the tokens of a line or a prompt."""
    return line.split() if unit == WORDS else line


def read_corpus(name: str, paths: Mapping[str, Path], unit: str, least: int = 1) -> Corpus:
    """Reads the three parts of a text from UTF-8 files.

    The vocabulary is that of the part to train on, most frequent tokens first. A word that is rarer there, or that
    only the other parts have, becomes ``<unk>``. Every line of words ends with ``<eos>``.

    Args:
        name: of the corpus.
        paths: a file for each of ``PARTS``.
        unit: one of ``units.UNITS``.
        least: how often a token has to be in the part to train on to be in the vocabulary.

    Raises:
        ConfigurationError: a file cannot be read, is not UTF-8, or holds fewer than two tokens.
    """
    counts = Counter(token for line in _lines(paths["train"]) for token in _tokens(line, unit))
    kept = [token for token, count in counts.items() if count >= least or token == END]
    tokens = sorted(kept, key=lambda token: (-counts[token], token))
    numbers = {token: number for number, token in enumerate(tokens)}
    unknown = numbers.get(UNKNOWN, len(tokens))
    parts = {part: _numbered(paths[part], unit, numbers, unknown) for part in PARTS}
    if unknown == len(tokens) and any(bool((part == unknown).any()) for part in parts.values()):
        tokens.append(UNKNOWN)
    return Corpus(name, Vocabulary(tuple(tokens), unit), parts)


def _numbered(path: Path, unit: str, numbers: Mapping[str, int], unknown: int) -> Tensor:
    found = array("i")
    for line in _lines(path):
        found.extend(numbers.get(token, unknown) for token in _tokens(line, unit))
    if len(found) < 2:
        raise ConfigurationError(f"{path} holds {len(found)} tokens, too few to predict one; replace the file")
    return torch.frombuffer(found, dtype=torch.int32)


def _tokens(line: str, unit: str) -> Iterable[str]:
    return line if unit == CHARACTERS else [*line.split(), END]


def _lines(path: Path) -> Iterator[str]:
    """Yields the lines of a file with their ends."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _decoded(line, number, path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _decoded(line: bytes, number: int, path: Path) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"line {number} of {path} is not UTF-8 (byte 0x{line[error.start]:02x}); convert the file, "
            "for instance with iconv -f latin1 -t utf-8"
        ) from error
