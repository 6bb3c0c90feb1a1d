"""Flat buffers: where tensors lie, and gradients as views."""

import pytest
import torch

import compressors
from hvd_qgenx.optim.buffers import FlatBuffer, FlatGradients, flatten


def parameters(*shapes, dtype=torch.float32):
    return [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def gradients(*shapes):
    return FlatGradients([(compressors.make("minmax"), parameters(*shapes))])


def test_tensors_lie_end_to_end():
    one, two, three = parameters((2, 3), (4,), (1, 5))
    buffer = FlatBuffer([(compressors.make("minmax"), [one, two]), (compressors.make("none"), [three])])
    assert list(buffer.spans.values()) == [(0, 6), (6, 10), (10, 15)]
    assert [(start, stop) for _, start, stop in buffer.codec.segments] == [(0, 10), (10, 15)]
    assert buffer.vector.tolist() == [0.0] * 15
    parts = dict(buffer.split(torch.arange(15.0)))
    assert parts[one].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert parts[three].tolist() == [[10, 11, 12, 13, 14]]
    assert buffer.owners([5, 6]) == {one, two}
    assert buffer.owners([]) == set()
    assert one.grad is None


def test_gradients_are_collected_wherever_they_are():
    buffer = gradients((2,), (3,))
    one, two = buffer.parameters
    assert buffer.strays() == []
    one.grad, two.grad = torch.ones(2), None
    assert buffer.strays() == [one, two]
    for parameter in buffer.parameters:
        buffer.collect(parameter)
    assert buffer.vector.tolist() == [1, 1, 0, 0, 0]
    assert buffer.strays() == []
    two.grad += 2
    assert buffer.vector.tolist() == [1, 1, 2, 2, 2]
    buffer.zero()
    assert buffer.vector.tolist() == [0.0] * 5
    assert buffer.holds(one)


def test_sparse_gradients_are_refused():
    buffer = gradients((2,))
    buffer.parameters[0].grad = torch.sparse_coo_tensor([[0]], [1.0], (2,), check_invariants=True)
    with pytest.raises(TypeError, match="sparse"):
        buffer.collect(buffer.parameters[0])


def test_changes_are_seen_while_watched():
    buffer = gradients((2,))
    buffer.vector += 1
    assert not buffer.changed()
    buffer.watch()
    buffer.unwatched.mul_(3)
    assert not buffer.changed()
    buffer.parameters[0].grad.mul_(2)
    assert buffer.changed()
    buffer.unwatch()
    assert not buffer.changed()
    assert buffer.vector.tolist() == [6, 6]


def test_dtypes_and_payloads_that_cannot_share_have_buffers_of_their_own():
    weight, bias, double = *parameters((20, 30), (30,)), *parameters((2,), dtype=torch.float64)

    def layout(compressor):
        buffers = flatten([weight, bias, double], compressors.Exempt(compressors.make(compressor)))
        return [(buffer.vector.dtype, buffer.parameters) for buffer in buffers]

    single, double_ = torch.float32, torch.float64
    assert layout("minmax") == [(single, [weight, bias]), (double_, [double])]
    assert layout("fp16") == [(single, [weight]), (single, [bias]), (double_, [double])]
    assert layout("none") == [(single, [weight, bias]), (double_, [double])]


def test_what_is_not_compressed_comes_last():
    bias, weight = parameters((30,), (20, 30))
    (buffer,) = flatten([bias, weight], compressors.Exempt(compressors.make("minmax")))
    assert buffer.parameters == [weight, bias]
    assert [segment.compressor.name for segment in buffer.codec.segments] == ["minmax", "none"]
