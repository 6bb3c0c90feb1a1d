"""Loads texts by name, on all ranks."""

from functools import partial
from pathlib import Path

from hvd_qgenx.data.registry import TEXTS
from hvd_qgenx.data.sets import fetch_once_per_host
from hvd_qgenx.data.text import Corpus
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import on_all_ranks, require_same


def load(
    name: str, data_dir: Path, download: bool, transport: Transport, *, unit: str, least: int, seed: int
) -> Corpus:
    """Returns a text, the same on all ranks. Collective.

    Args:
        name: one of ``registry.TEXTS``.
        data_dir: folder of data sets.
        download: fetch what is missing, on one rank of each host.
        transport: of the ranks.
        unit: ``words`` or ``characters``.
        least: how often a token must be in the part to train on to be in the vocabulary.
        seed: decides a text that is made up.

    Raises:
        ConfigurationError: on all ranks, if the text is missing or damaged on one, or differs between ranks.
    """
    source = TEXTS[name]
    if download and source.download is not None:
        fetch_once_per_host(transport, partial(source.download, data_dir))
    corpus = on_all_ranks(transport, "text", lambda: source.read(name, data_dir, unit, least, seed))
    require_same(transport, {f"what {name} holds": f"{corpus.describe()} ({corpus.fingerprint[:12]})"})
    return corpus
