"""Flat buffers: where tensors lie, and gradients as views."""

import pytest
import torch

import compressors
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.buffers import FlatBuffer, FlatGradients, flatten


def parameters(*shapes, dtype=torch.float32):
    return [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def named(*made):
    return {parameter: str(number) for number, parameter in enumerate(made)}


def gradients(*shapes):
    made = parameters(*shapes)
    buffer = FlatGradients([(compressors.make("minmax"), made)], named(*made))
    buffer.zero()
    return buffer


def test_tensors_lie_end_to_end():
    one, two, three = parameters((2, 3), (4,), (1, 5))
    buffer = FlatBuffer([(compressors.make("minmax"), [one, two]), (compressors.make("none"), [three])], {})
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


def test_a_gradient_is_collected_when_its_memory_changes_though_its_object_stays():
    buffer = gradients((2,), (3,))
    one, two = buffer.parameters
    one.grad.data = torch.ones(2)
    two.grad.data = two.grad.data.clone()
    assert buffer.strays() == [one, two]
    buffer.collect(one)
    assert buffer.strays() == [two]
    assert buffer.vector.tolist() == [1, 1, 0, 0, 0]
    one.grad.data = torch.full((2,), 5.0)
    buffer.zero()
    assert buffer.strays() == []
    one.grad += 1
    assert buffer.vector.tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda module: module.double(), "torch.float32 to torch.float64"),
        (lambda module: module.bfloat16(), "torch.float32 to torch.bfloat16"),
        (lambda module: module.to(memory_format=torch.channels_last), r"\(27, 9, 3, 1\) to \(27, 1, 9, 3\)"),
    ],
)
@pytest.mark.parametrize("held", [True, False])
def test_a_parameter_that_changes_is_refused(change, message, held):
    module = torch.nn.Conv2d(3, 4, 3, bias=False)
    buffer = FlatGradients([(compressors.make("minmax"), [module.weight])], named(module.weight))
    buffer.zero()
    if not held:
        module.weight.grad = None
    change(module)
    with pytest.raises(ConfigurationError, match=f"0 was changed from {message}.*; convert the model before"):
        buffer.collect(module.weight)
    with pytest.raises(ConfigurationError, match=f"0 was changed from {message}.*; convert the model before"):
        buffer.zero()


LAYOUTS = {
    "contiguous": lambda: torch.zeros(4, 3, 5, 5),
    "channels-last": lambda: torch.zeros(4, 3, 5, 5).to(memory_format=torch.channels_last),
    "permuted": lambda: torch.zeros(4, 3, 5, 5).permute(2, 0, 3, 1),
    "transposed": lambda: torch.zeros(4, 6).t(),
    "expanded": lambda: torch.zeros(1, 3).expand(4, 3),
    "sliced": lambda: torch.zeros(4, 6)[:, ::2],
    "scalar": lambda: torch.zeros(()),
    "empty": lambda: torch.zeros(0, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_have_the_strides_that_autograd_gives_them(layout):
    parameter, alone = (torch.nn.Parameter(LAYOUTS[layout]()) for _ in range(2))
    other = torch.nn.Parameter(torch.zeros(3))
    buffer = FlatGradients([(compressors.make("minmax"), [other, parameter])], named(other, parameter))
    buffer.zero()
    numbers = torch.arange(parameter.numel(), dtype=torch.float32).reshape(parameter.shape)
    for each in (parameter, alone):
        (each * numbers).sum().backward()
    assert parameter.grad.stride() == alone.grad.stride()
    assert torch.equal(parameter.grad, alone.grad)
    assert buffer.holds(parameter)
    assert sorted(buffer.vector.tolist()) == [0, 0, 0, *range(parameter.numel())]


def test_complex_parameters_are_refused():
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(ConfigurationError, match=r"0 is torch.complex64; only real floating-point parameters"):
        flatten(named(parameter), compressors.make("none"), FlatGradients)


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
        buffers = flatten(named(weight, bias, double), compressors.Exempt(compressors.make(compressor)), FlatGradients)
        return [(buffer.vector.dtype, buffer.parameters) for buffer in buffers]

    single, double_ = torch.float32, torch.float64
    assert layout("minmax") == [(single, [weight, bias]), (double_, [double])]
    assert layout("fp16") == [(single, [weight]), (single, [bias]), (double_, [double])]
    assert layout("none") == [(single, [weight, bias]), (double_, [double])]


def test_what_is_not_compressed_comes_last():
    bias, weight = parameters((30,), (20, 30))
    (buffer,) = flatten(named(bias, weight), compressors.Exempt(compressors.make("minmax")), FlatGradients)
    assert buffer.parameters == [weight, bias]
    assert [segment.compressor.name for segment in buffer.codec.segments] == ["minmax", "none"]


def test_means_in_the_other_buffer_become_the_gradients():
    buffer = gradients((2,), (3,))
    one, two = buffer.parameters
    for value in (1.0, 2.0, 3.0):
        mine, means = one.grad, buffer.other
        means.fill_(value)
        mine.data.fill_(9)
        buffer.replace(means)
        assert buffer.vector.tolist() == [value] * 5
        assert one.grad.tolist() == [value] * 2
        assert two.grad.tolist() == [value] * 3
        assert buffer.strays() == []
        assert mine.tolist() == [9, 9]


def test_means_in_the_buffer_itself_stay_there():
    buffer = gradients((2,))
    gradient = buffer.parameters[0].grad
    buffer.replace(buffer.unwatched.fill_(4))
    assert buffer.parameters[0].grad is gradient
    assert gradient.tolist() == [4, 4]
