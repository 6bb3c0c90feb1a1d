"""Readers of the sets of samples in ``registry.SAMPLES``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from hvd_qgenx.data import bundled, libsvm
from hvd_qgenx.data.fetching import fetch
from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.errors import ConfigurationError

SITE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary"
"""Address at which LIBSVM publishes its data sets."""


@dataclass(frozen=True)
class SampleSource:
    """How to read a set of samples.

    Attributes:
        read: reads it; takes its name and the folder of data sets.
        download: puts it into the folder of data sets; None if it comes with this software.
    """

    read: Callable[[str, Path], Samples]
    download: Callable[[Path], None] | None = None


def _breast_cancer(name: str, _folder: Path) -> Samples:
    rows = bundled.read("breast_cancer.csv", header_lines=1)
    return Samples(name, csr_array(rows[:, :-1]), rows[:, -1].astype(np.int64))


def _published(file: str, samples: int) -> SampleSource:
    """A set that LIBSVM publishes, with its number of samples: a file cut at the end of a line would be valid."""

    def read(name: str, data_dir: Path) -> Samples:
        path = _find(file, data_dir)
        if path is None:
            raise ConfigurationError(
                f"no {file} in {data_dir / 'libsvm'} or {data_dir}; add --download, name its folder with --data-dir, "
                "or use --data breast-cancer, which needs none"
            )
        found = libsvm.read(path, name)
        if len(found) != samples:
            raise ConfigurationError(
                f"{path} has {len(found)} samples, but {name} has {samples}; remove the file and fetch it again"
            )
        return found

    def download(data_dir: Path) -> None:
        if _find(file, data_dir) is None:
            fetch(f"{SITE}/{file}", data_dir / "libsvm" / file)

    return SampleSource(read, download)


def _find(file: str, data_dir: Path) -> Path | None:
    """Returns where a file of LIBSVM is, packed or not."""
    names = (file, file.removesuffix(".bz2"))
    places = (folder / name for folder in (data_dir / "libsvm", data_dir) for name in names)
    return next((place for place in places if place.is_file()), None)


BREAST_CANCER = SampleSource(_breast_cancer)
A5A = _published("a5a", 6414)
COVTYPE = _published("covtype.libsvm.binary.bz2", 581012)
GISETTE = _published("gisette_scale.bz2", 6000)
HEART = _published("heart_scale", 270)
MUSHROOMS = _published("mushrooms", 8124)
RCV1 = _published("rcv1_train.binary.bz2", 20242)
REAL_SIM = _published("real-sim.bz2", 72309)
W8A = _published("w8a", 49749)
