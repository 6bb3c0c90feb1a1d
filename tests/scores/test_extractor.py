"""What extraction switches off, and puts back."""

from collections.abc import Iterator

import pytest
import torch

from hvd_qgenx.scores import extractor

SWITCHES = (
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"),
)


def switches() -> list[bool]:
    return [getattr(backend, name) for backend, name in SWITCHES]


@pytest.fixture
def _all_on() -> Iterator[None]:
    before = switches()
    for backend, name in SWITCHES:
        setattr(backend, name, True)
    yield
    for (backend, name), value in zip(SWITCHES, before, strict=True):
        setattr(backend, name, value)


@pytest.mark.usefixtures("_all_on")
def test_reduced_precision_on_a_gpu_is_off_meanwhile():
    """The switches are there without a GPU, too."""
    with extractor._single_precision(torch.device("cuda")):
        assert not any(switches())
    assert all(switches())


def test_fingerprints_tell_names_shapes_types_and_values_apart():
    one = torch.tensor([1.0, 2.0])
    others = [{"b": one}, {"a": one.view(1, 2)}, {"a": one.view(torch.int32)}, {"a": one + 1}, {"a": one, "b": one}]
    prints = [extractor.fingerprint(weights) for weights in ({"a": one}, {"a": one.clone()}, *others)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 1 + len(others)
