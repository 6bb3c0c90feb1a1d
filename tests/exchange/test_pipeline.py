"""The order in which slices start and are waited for, and what follows a failure."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import compressors
from hvd_qgenx.exchange import Codec, ExchangeOptions, Pipeline, Transfer
from hvd_qgenx.transport import Work


def transfer(numel=3, name="x", **options):
    return Transfer(
        torch.ones(numel), Codec([(compressors.make("none"), numel)], torch.float32), name, ExchangeOptions(**options)
    )


class Recorder:
    """Coroutines of two collectives each, which write down what happens to them."""

    def __init__(self, fails_at=None):
        self.events, self.in_flight, self.most = [], 0, 0
        self._fails_at = fails_at

    def work(self, label):
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.events.append(f"{label} sent")

        def wait():
            self.in_flight -= 1
            if label == self._fails_at:
                raise OSError(label)
            self.events.append(f"{label} done")
            return label

        return Work(wait, 10)

    def reduce(self, transfer, start, stop, name):
        for part in "ab":
            assert (yield self.work(f"{name}{part}")) == f"{name}{part}"
        transfer.vector[start:stop] += 1

    def sent(self):
        return [event.removesuffix(" sent") for event in self.events if event.endswith("sent")]


@pytest.fixture(params=["inline", "background"])
def background(request):
    if request.param == "inline":
        yield None
    else:
        with ThreadPoolExecutor(1) as executor:
            yield executor


def test_a_few_collectives_are_in_flight_in_one_order(background):
    recorder, moved, pipeline = Recorder(), transfer(), Pipeline(background, depth=2)
    pipeline.add(moved, [0, 1, 2, 3], recorder.reduce)
    pipeline.finish()
    assert [event for event in recorder.events if event.endswith("done")] == [
        f"x.{label} done" for label in ("0a", "1a", "0b", "1b", "2a", "2b")
    ]
    assert recorder.most == 2
    assert moved.report.bytes_sent == 60
    assert moved.vector.tolist() == [2, 2, 2]


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_no_more_are_in_flight_than_allowed(depth):
    recorder, pipeline = Recorder(), Pipeline(depth=depth)
    pipeline.add(transfer(5), range(6), recorder.reduce)
    pipeline.finish()
    assert recorder.most == min(depth, 5)


def test_slices_wait_for_their_parts_and_for_the_slices_before(background):
    recorder, pipeline = Recorder(), Pipeline(background, depth=8)
    one, other = transfer(4, "one"), transfer(2, "other")
    pipeline.add(one, [0, 2, 4], recorder.reduce, {"p": (0, 3), "q": (3, 4)})
    pipeline.add(other, [0, 2], recorder.reduce, {"r": (0, 2)})
    assert pipeline.transfers == [one, other]

    def started():
        if background is not None:
            background.submit(lambda: None).result()
        return recorder.sent()

    pipeline.ready("r")
    assert started() == []
    assert (pipeline.awaits("p"), pipeline.awaits("r")) == (True, False)
    pipeline.ready("p")
    assert started() == ["one.0a"]
    pipeline.ready("q")
    assert started() == ["one.0a", "one.1a", "other.0a"]
    pipeline.finish()
    assert one.vector.tolist() == [2] * 4
    assert other.vector.tolist() == [2] * 2


def test_what_never_becomes_ready_starts_in_the_end():
    recorder, pipeline = Recorder(), Pipeline(depth=8)
    pipeline.add(transfer(4), [0, 2, 4], recorder.reduce, {"p": (0, 2), "q": (2, 4)})
    pipeline.ready("q")
    assert recorder.events == []
    pipeline.start_all()
    assert recorder.events == ["x.0a sent", "x.1a sent"]
    pipeline.finish()
    assert len(recorder.sent()) == 4


@pytest.mark.parametrize("order", ["pqr", "rqp", "qrp"])
def test_the_order_of_collectives_does_not_depend_on_that_of_gradients(order):
    recorder, pipeline = Recorder(), Pipeline()
    pipeline.add(transfer(6), [0, 1, 3, 6], recorder.reduce, {"p": (0, 2), "q": (2, 5), "r": (5, 6)})
    for part in order:
        pipeline.ready(part)
    pipeline.finish()
    assert recorder.sent() == ["x.0a", "x.1a", "x.0b", "x.1b", "x.2a", "x.2b"]


@pytest.mark.parametrize("fails_at", ["x.0a", "x.1b"])
def test_after_a_failure_nothing_more_is_sent(background, fails_at):
    recorder, pipeline = Recorder(fails_at), Pipeline(background, depth=2)
    pipeline.add(transfer(6), range(7), recorder.reduce, {part: (part, part + 1) for part in range(6)})
    for part in range(6):
        pipeline.ready(part)
    with pytest.raises(OSError, match=fails_at):
        pipeline.start_all()
    sent = list(recorder.events)
    with pytest.raises(OSError, match=fails_at):
        pipeline.finish()
    assert recorder.events == sent
    assert "x.3a" not in recorder.sent()


def test_a_coroutine_that_fails_at_once_sends_nothing(background):
    recorder, pipeline = Recorder(), Pipeline(background)

    def reduce(transfer, start, stop, name):
        if start == 1:
            raise ZeroDivisionError
        yield from recorder.reduce(transfer, start, stop, name)

    pipeline.add(transfer(3), range(4), reduce)
    with pytest.raises(ZeroDivisionError):
        pipeline.finish()
    assert recorder.sent() == ["x.0a"]


def test_a_coroutine_may_need_no_collective():
    moved, pipeline = transfer(2), Pipeline()

    def reduce(transfer, start, stop, _name):
        transfer.vector[start:stop] = 5
        yield from ()

    pipeline.add(moved, [0, 1, 2], reduce)
    pipeline.finish()
    assert moved.vector.tolist() == [5, 5]


def test_vectors_are_scaled_when_their_slices_start():
    moved, pipeline, seen = transfer(4, scale=0.5), Pipeline(), []

    def reduce(transfer, *_):
        seen.append(transfer.vector.tolist())
        yield Work(lambda: None, 0)

    pipeline.add(moved, [0, 1, 4], reduce)
    pipeline.finish()
    assert seen == [[0.5, 1, 1, 1], [0.5] * 4]
