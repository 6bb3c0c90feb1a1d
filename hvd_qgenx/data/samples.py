"""Loads samples with two labels, by name or from a file, on all ranks."""

import os
from pathlib import Path

from hvd_qgenx.data import libsvm
from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.data.registry import SAMPLES
from hvd_qgenx.data.sets import fetch_once_per_host
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import on_all_ranks, require_same


def load(name: str, data_dir: Path, download: bool, transport: Transport) -> Samples:
    """Returns a set of samples.

    With ``download``, one rank of every host fetches a missing file while the others wait.

    Args:
        name: one of ``SAMPLES``, or the path of a LIBSVM file.
        data_dir: folder of data sets; LIBSVM's files are in it or in its folder ``libsvm``.
        download: fetch what is missing.
        transport: the ranks.

    Raises:
        ConfigurationError: on all ranks, if the samples are missing on one, or differ between ranks.
    """
    if download and name in SAMPLES and (fetch := SAMPLES[name].download):
        fetch_once_per_host(transport, lambda: fetch(data_dir))
    samples = on_all_ranks(transport, "data", lambda: read(name, data_dir))
    require_same(transport, {f"what {name} holds": f"{len(samples)} samples ({samples.fingerprint()[:12]})"})
    return samples


def read(name: str, data_dir: Path) -> Samples:
    """Returns a set of samples, on one rank alone.

    Raises:
        ConfigurationError: there is no such set or file, or it is damaged.
    """
    if name not in SAMPLES and (os.sep in name or Path(name).exists()):
        return libsvm.read(Path(name))
    return SAMPLES[name].read(name, data_dir)
