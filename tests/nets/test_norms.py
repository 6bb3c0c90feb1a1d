"""Groups of channels that norms normalize together, and their parameters."""

import pytest
import torch

from hvd_qgenx.nets.norms import normalization
from hvd_qgenx.nets.registry import NORMS


@pytest.mark.parametrize(("norm", "together"), [("batch", (0, 2, 3)), ("layer", (1, 2, 3))])
def test_mean_and_variance_are_taken_over_these_dimensions(norm, together):
    maps = 3 + 2 * torch.randn(8, 24, 5, 5)
    normal = normalization(norm, 24)(maps)
    assert normal.mean(together).abs().max() < 1e-5
    torch.testing.assert_close(
        normal.var(together, correction=0), torch.ones_like(normal.mean(together)), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (6, 6), (32, 32), (64, 32), (66, 22), (158, 2), (342, 19)])
def test_groups_divide_the_channels_and_are_at_most_32(channels, groups):
    assert normalization("group", channels).num_groups == groups


@pytest.mark.parametrize("norm", NORMS)
def test_every_channel_has_a_gain_and_a_bias(norm):
    assert [parameter.shape for parameter in normalization(norm, 24).parameters()] == [(24,), (24,)]
