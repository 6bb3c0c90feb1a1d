"""Level sets with a formula, and what is no level set."""

import re

import numpy as np
import pytest

from compressors.levels import sets


def test_sets_written_out():
    np.testing.assert_allclose(sets.uniform(3), [0, 1 / 3, 2 / 3, 1], rtol=1e-7)
    np.testing.assert_allclose(sets.uniform(3, zero=False), [1 / 7, 3 / 7, 5 / 7, 1], rtol=1e-7)
    np.testing.assert_array_equal(sets.exponential(4), [0, *(2.0**-k for k in range(6, -1, -1))])
    np.testing.assert_allclose(sets.exponential(3, 0.1), [0, 0.01, 0.1, 1], rtol=1e-7)
    np.testing.assert_array_equal(sets.exponential(3, zero=False), [1 / 8, 1 / 4, 1 / 2, 1])
    np.testing.assert_array_equal(sets.ternary(), [0, 1])
    np.testing.assert_array_equal(sets.uniform(1, zero=False), [1])


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_sets_pass_their_own_check(bits, zero):
    for levels in (sets.uniform(bits, zero), sets.exponential(bits, zero=zero), sets.exponential(bits, 0.9, zero)):
        np.testing.assert_array_equal(sets.check(levels, bits, need_zero=zero), levels)
        assert sets.kind(levels) == (bits, zero)
        assert np.isfinite(1 / np.diff(levels.astype(np.float32))).all()


@pytest.mark.parametrize(
    ("levels", "bits", "sentence"),
    [
        ([0, 0.5, 0.2, 1], 3, "levels must increase, but 0.5 is followed by 0.2"),
        ([0, 0.5, 0.5, 1], 3, "levels must increase, but 0.5 is followed by 0.5"),
        ([0, 0.5, 0.500000001, 1], 3, "levels must increase, but 0.5 is followed by 0.500000001"),
        ([0, 0.5, 1, 1.5], 3, "levels must lie in [0, 1], not at 1.5"),
        ([-0.5, 0, 0.5, 1], 3, "levels must lie in [0, 1], not at -0.5"),
        ([0, float("nan"), 0.5, 1], 3, "levels must lie in [0, 1], not at nan"),
        ([0, 1e-40, 0.5, 1], 3, "levels above 0 must be at least 2^-127, not 1e-40"),
        ([0.1, 0.2, 0.5, 1], 3, "the first level must be 0, not 0.1"),
        ([0, 0.2, 0.5, 0.9], 3, "the last level must be 1, not 0.9"),
        ([0, 0.5, 1], 3, "3 levels are too few for 3 bits, which take 4"),
        ([0, 0.2, 0.4, 0.6, 1], 3, "5 levels are too many for 3 bits, which take 4"),
        ([0, 1], 1, "levels with a zero take from 2 to 8 bits, not 1"),
        ([], 3, "levels must be a list of numbers from 0 to 1"),
    ],
)
def test_what_is_no_level_set(levels, bits, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        sets.check(levels, bits, need_zero=True)


def test_levels_are_rounded_to_float32():
    assert sets.check([0, 0.1, 0.2, 1], 3)[1] == float(np.float32(0.1))
    assert sets.check([0.1, 0.2, 0.3, 1], 3)[0] == float(np.float32(0.1))


@pytest.mark.parametrize(
    ("base", "sentence"),
    [(0, "must be between 0 and 1"), (1, "must be between 0 and 1"), (0.4, "powers of 0.4 for 8 bits go below")],
)
def test_bases_that_give_no_levels(base, sentence):
    with pytest.raises(ValueError, match=sentence):
        sets.exponential(8, base)
