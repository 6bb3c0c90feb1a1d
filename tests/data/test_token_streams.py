"""Streams of tokens over ranks: every token once in an epoch, none on two ranks."""

import pytest
import torch

from hvd_qgenx.data.token_streams import TokenStreams
from hvd_qgenx.errors import ConfigurationError

TOKENS = torch.arange(103, dtype=torch.int32)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize(("streams", "length"), [(4, 7), (5, 6), (5, 19), (4, 24)])
def test_an_epoch_predicts_every_token_of_the_streams_once(ranks, streams, length):
    each = len(TOKENS) // streams
    own = [TokenStreams(TOKENS, streams, length, rank, ranks) for rank in range(ranks)]
    predicted = []
    for draw in range(own[0].stretches):
        parts = [stream(draw) for stream in own]
        assert [targets.numel() for _, targets in parts] == list(own[0].counts(draw))
        for inputs, targets in parts:
            assert torch.equal(inputs + 1, targets)
            predicted += targets.flatten().tolist()
    expected = [token for token in range(streams * each) if token % each]
    assert sorted(predicted) == expected


def test_stretches_of_a_stream_follow_one_another_and_epochs_begin_anew():
    streams = TokenStreams(TOKENS, 3, 10, 0, 1)
    (first, ends), (second, _) = streams(0), streams(1)
    assert torch.equal(ends[:, -1], second[:, 0])
    assert first.dtype == torch.int64
    assert [streams.starts(draw) for draw in range(5)] == [True, False, False, False, True]
    assert torch.equal(streams(streams.stretches)[0], first)


def test_a_stretch_longer_than_a_stream_is_refused():
    TokenStreams(TOKENS, 5, 19, 0, 1)
    with pytest.raises(ConfigurationError, match="103 tokens in 5 streams are 20 each, too few for stretches of 20"):
        TokenStreams(TOKENS, 5, 20, 0, 1)
