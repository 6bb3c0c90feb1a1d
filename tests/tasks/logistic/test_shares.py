"""Who has which samples."""

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic.registry import SPLITS
from hvd_qgenx.tasks.logistic.shares import make_shares
from tests.tasks.logistic.problems import samples

SAMPLES = samples(43)
LABELS = torch.from_numpy(SAMPLES.labels)


def shares(split, workers=4, seed=0, alpha=2.0):
    return make_shares(split, SAMPLES, workers, seed, alpha)


def test_contiguous_shares_leave_out_the_last_samples():
    assert [share.tolist() for share in shares("contiguous")] == [
        list(range(start, start + 10)) for start in (0, 10, 20, 30)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_no_sample_is_in_two_shares(split):
    found = torch.cat(shares(split)).tolist()
    assert len(set(found)) == len(found) == (43 if split == "dirichlet" else 40)


def test_shuffled_shares_depend_on_the_seed():
    assert torch.equal(torch.cat(shares("shuffled")), torch.cat(shares("shuffled")))
    assert not torch.equal(torch.cat(shares("shuffled")), torch.cat(shares("shuffled", seed=1)))


def test_sorted_shares_have_one_label_each_but_one():
    means = [float(LABELS[share].double().mean()) for share in shares("sorted")]
    assert means == sorted(means)
    assert sum(0 < mean < 1 for mean in means) <= 1


def test_shares_without_samples_are_refused():
    with pytest.raises(ConfigurationError, match="43 samples cannot be split over 44 workers; use fewer workers"):
        shares("sorted", workers=44)
    with pytest.raises(ConfigurationError, match=r"leaves rank.* without samples; use a larger --dirichlet-alpha"):
        shares("dirichlet", workers=12, alpha=0.01)


def test_an_unknown_split_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown split 'contigous'; did you mean 'contiguous'"):
        shares("contigous")
