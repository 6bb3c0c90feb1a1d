"""Scores over in-process ranks against torch-fidelity's own, and against one rank's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import Extractor, Scorer, inception, samples_note
from hvd_qgenx.transport import inprocess
from tests.scores.pictures import CPU, Pictures, Small, generate, noise

REAL = noise(330, 1, 16, seed=1)
FAKE = noise(250, 1, 16, seed=2)
FAR = Pictures("far", FAKE.images // 2, FAKE.labels)
THEIR_NAMES = {
    "fid": "frechet_inception_distance",
    "kid": "kernel_inception_distance_mean",
    "inception_score": "inception_score_mean",
}


def prepared(transport, extractor: Extractor | None = None, real: Pictures = REAL, **settings) -> Scorer:
    scorer = Scorer(extractor or Small(), real, transport, **{"samples": len(FAKE), **settings})
    scorer.prepare()
    return scorer


def scores(ranks: int = 1, fake: Pictures = FAKE, **settings) -> dict[str, float]:
    """Those of one generator; they must be the same on all ranks."""
    found = inprocess.run(ranks, lambda transport: prepared(transport, **settings).score(generate(fake)))
    assert all(each == found[0] for each in found)
    return found[0]


def theirs(
    fidelity: Callable[[str], Any],
    extractor: Extractor,
    fake: Pictures,
    real: Pictures,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """The scores by torch-fidelity's own way from images to numbers, with our extractor registered as one of its.

    It takes means in the dtype in which it is given features.
    """

    class Registered(fidelity("feature_extractor_base").FeatureExtractorBase):
        def __init__(self, name, layers, **settings):
            super().__init__(name, layers)

        def forward(self, images):
            found = dict(zip(("features", "logits"), extractor(images), strict=True))
            return tuple(found[layer].to(dtype) for layer in self.features_list)

        @staticmethod
        def get_provided_features_list():
            return ("features", "logits")

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "logits" if metric == "isc" else "features"

    fidelity("registry").FEATURE_EXTRACTORS_REGISTRY.pop("ours", None)
    fidelity("").register_feature_extractor("ours", Registered)
    return calculate(fidelity, fake, real, feature_extractor="ours")


def calculate(fidelity: Callable[[str], Any], fake: Pictures, real: Pictures, **settings) -> dict[str, float]:
    """torch-fidelity's FID, KID and Inception score, by our names."""

    class Data(torch.utils.data.Dataset):
        def __init__(self, pictures: Pictures) -> None:
            self.pictures = pictures

        def __len__(self) -> int:
            return len(self.pictures)

        def __getitem__(self, index: int) -> torch.Tensor:
            return self.pictures.take([index])[0][0]

    found = fidelity("").calculate_metrics(
        input1=Data(fake),
        input2=Data(real),
        **dict.fromkeys(("fid", "kid", "isc"), True),
        kid_subset_size=min(1000, len(fake), len(real)),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **settings,
    )
    return {ours: found[name] for ours, name in THEIR_NAMES.items()}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_scores_are_torch_fidelitys(fidelity, ranks):
    """Of images that are far from the real ones: float32 means would show in small distances."""
    extractor = Small(name="inception")
    expected = theirs(fidelity, extractor, FAR, REAL)
    assert scores(ranks, FAR, extractor=extractor) == pytest.approx(expected, rel=1e-6)


def test_small_distances_are_torch_fidelitys_from_double_means(fidelity):
    expected = theirs(fidelity, Small(), FAKE, REAL, torch.float64)["fid"]
    assert expected < 1e-3
    assert scores(3) == {"frechet_small": pytest.approx(expected, rel=1e-9)}


def test_a_classifiers_distance_is_what_torch_fidelity_makes_of_its_features(fidelity, real_classifier, real_digits):
    fake = noise(700, 1, 8)
    expected = theirs(fidelity, real_classifier, fake, real_digits)["fid"]
    found = scores(3, fake, extractor=real_classifier, real=real_digits, samples=700)
    assert found == {"frechet_digits_classifier": pytest.approx(expected, rel=1e-6)}


def test_inceptions_scores_are_torch_fidelitys(fidelity, inception_weights, tmp_path, monkeypatch):
    """Random weights; to be quick, images of a quarter of the side, and FID and KID on a low layer."""
    monkeypatch.setattr(fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    monkeypatch.setattr(inception, "LAYERS", ("64", "logits_unbiased"))
    path = tmp_path / "inception.pth"
    torch.save(inception_weights, path)
    fake, real = noise(90, 3, 16, seed=3), noise(80, 3, 16, seed=4)
    real.images //= 2
    layers = {f"feature_layer_{metric}": "64" for metric in ("fid", "kid")}
    expected = calculate(fidelity, fake, real, feature_extractor_weights_path=str(path), **layers)
    extractor = inception.Inception(inception_weights, CPU)
    assert scores(2, fake, extractor=extractor, real=real, samples=90) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["small", "inception"])
@pytest.mark.parametrize("samples", [250, 200, 90])
def test_the_number_of_ranks_changes_no_bit(name, samples):
    """Also where some ranks have nothing to do."""
    one, *more = [scores(ranks, extractor=Small(name=name), samples=samples) for ranks in (1, 2, 3, 4)]
    assert all(found == one for found in more)


@pytest.mark.parametrize("ranks", [2, 3])
def test_real_statistics_do_not_depend_on_ranks(ranks, tmp_path, monkeypatch):
    one = scores(1, flip=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert scores(ranks, flip=True) == one


def test_flipped_real_images_count_beside_the_others():
    both = Pictures("both", torch.cat([REAL.images, REAL.images.flip(-1)]), REAL.labels.repeat(2))
    assert scores(flip=True) == pytest.approx(scores(real=both), rel=1e-9)
    assert scores(flip=False) != pytest.approx(scores(flip=True), rel=1e-2)


def test_real_images_are_looked_at_once(cache):
    def seen(**settings) -> int:
        extractor = settings.pop("extractor", None) or Small()
        inprocess.run(1, lambda transport: prepared(transport, extractor, **settings))
        return extractor.seen

    assert (seen(), seen()) == (330, 0)
    assert (seen(flip=True), seen(flip=True)) == (660, 0)
    assert seen(extractor=Small(seed=1)) == 330
    assert seen(real=noise(330, 1, 16, seed=5)) == 330
    assert seen(samples=20) == 0
    for file in cache.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:-50])
    assert (seen(), seen()) == (330, 0)


def test_scoring_leaves_training_as_it_was():
    """Random numbers, gradients and autocast; and what training has switched on does not change scores."""
    plain, extractor, threads = scores(), Small(), torch.get_num_threads()
    before = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert prepared(inprocess.InProcess(), extractor).score(generate(FAKE)) == plain
        assert torch.is_autocast_enabled("cpu")
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)


def test_bias_is_near_the_score_of_perfect_images():
    perfect = [scores(fake=noise(250, 1, 16, seed=seed))["frechet_small"] for seed in range(100, 112)]
    [scorer] = inprocess.run(1, prepared)
    assert scorer.bias == {"frechet_small": pytest.approx(sum(perfect) / len(perfect), rel=0.25)}


def test_a_note_says_how_much_too_few_images_cost():
    [few] = inprocess.run(1, lambda transport: prepared(transport, samples=50))
    note = samples_note(few)
    assert note is not None
    assert "50 samples and 330 real images" in note
    assert f"{few.bias['frechet_small']:.3g}" in note
    assert "use 120 samples" in note
    [more] = inprocess.run(1, lambda transport: prepared(transport, samples=400))
    assert "400 samples and 330 real images" in str(samples_note(more))
    [enough] = inprocess.run(1, lambda transport: prepared(transport, samples=300))
    assert samples_note(enough) is None
    assert enough.bias["frechet_small"] < few.bias["frechet_small"]


def test_too_few_samples_are_refused():
    with pytest.raises(ConfigurationError, match="9 samples are too few to score; use at least 10"):
        Scorer(Small(), REAL, inprocess.InProcess(), samples=9)
