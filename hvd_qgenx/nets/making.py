"""Layers draw their first weights from torch's generator when they are made; networks here set others later."""

from collections.abc import Iterator
from contextlib import contextmanager

from hvd_qgenx.generators import borrowed


@contextmanager
def leaving_generators() -> Iterator[None]:
    """Puts torch's generator back to where it was, after layers have been made inside.

    Making them on the device ``meta`` would draw nothing, but takes a second of imports.
    """
    with borrowed():
        yield
