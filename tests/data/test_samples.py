"""Sets of samples by name: found, downloaded, checked."""

import numpy as np
import pytest

from hvd_qgenx.data import sample_sources, samples
from hvd_qgenx.data.registry import SAMPLES
from hvd_qgenx.data.sample_sources import SampleSource
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess

ALONE = inprocess.InProcess()
HEART = "".join(f"{'+-'[k % 2]}1 1:{k} 13:1\n" for k in range(270))
"""As many samples as heart_scale has."""


def load(name, folder, download=False):
    return samples.load(str(name), folder, download, ALONE)


def test_breast_cancer_needs_no_folder(tmp_path):
    found = load("breast-cancer", tmp_path)
    assert found.features.shape == (569, 30)
    assert np.bincount(found.labels).tolist() == [212, 357]


def test_every_name_has_a_source():
    assert all(isinstance(source, SampleSource) for source in SAMPLES.values())
    with pytest.raises(ConfigurationError, match="unknown data set 'mushroom'; did you mean 'mushrooms'"):
        samples.read("mushroom", None)


@pytest.mark.parametrize("place", ["heart_scale", "libsvm/heart_scale"])
def test_a_published_set_lies_in_the_folder_or_in_libsvm(place, tmp_path):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(HEART)
    found = load("heart", tmp_path)
    assert (found.name, found.features.shape) == ("heart", (270, 13))


def test_a_file_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("0 1:1\n1 2:1\n")
    assert load(tmp_path / "mine", tmp_path).name == "mine"
    monkeypatch.chdir(tmp_path)
    assert len(load("mine", tmp_path)) == 2
    with pytest.raises(ConfigurationError, match=r"yours cannot be read .*No such file"):
        load(tmp_path / "yours", tmp_path)


def test_a_file_cut_at_the_end_of_a_line_is_found(tmp_path):
    (tmp_path / "heart_scale").write_text(HEART[: HEART.rindex("\n", 0, -1) + 1])
    with pytest.raises(ConfigurationError, match="has 269 samples, but heart has 270; remove the file and fetch it"):
        load("heart", tmp_path)


def test_a_missing_set_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no heart_scale in .*libsvm or .*add --download, name its folder"):
        load("heart", tmp_path)


def test_download(tmp_path, monkeypatch):
    site, folder = tmp_path / "site", tmp_path / "data"
    site.mkdir()
    monkeypatch.setattr(sample_sources, "SITE", site.as_uri())
    with pytest.raises(ConfigurationError, match=r"cannot download file:.*heart_scale to .*; fetch it by hand"):
        load("heart", folder, download=True)
    assert not list(folder.rglob("*scale*"))
    (site / "heart_scale").write_text(HEART)
    assert len(load("heart", folder, download=True)) == 270
    assert (folder / "libsvm" / "heart_scale").read_text() == HEART
    (site / "heart_scale").unlink()
    assert len(load("heart", folder, download=True)) == 270


def test_one_rank_of_a_host_downloads(tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path):
        fetched.append(url)
        path.parent.mkdir(parents=True)
        path.write_text(HEART)

    monkeypatch.setattr(sample_sources, "fetch", fetch)
    found = inprocess.run(3, lambda transport: samples.load("heart", tmp_path, True, transport))
    assert [len(each) for each in found] == [270] * 3
    assert fetched == [f"{sample_sources.SITE}/heart_scale"]


@pytest.mark.parametrize(("name", "shape"), [("a5a", (6414, 122)), ("mushrooms", (8124, 112))])
def test_real_data(name, shape, data_dir):
    found = load(name, data_dir)
    assert found.features.shape == shape
    assert 0.2 < found.labels.mean() < 0.8
