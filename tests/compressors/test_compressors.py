"""Names, parameters, the combinator, and the sizes known from the literature."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import compressors
from compressors import Exempt
from tests.documents import ROOT, blocks


def test_names_that_presets_and_papers_use_stay():
    names = compressors.names()
    assert names == sorted(names)
    assert set(names) >= {
        *("alq", "alq-gd", "amq", "dgc", "dither", "dynamiq", "fp16", "hint", "intsgd", "levels", "minmax"),
        *("mxfp4", "mxfp8", "natural", "none", "nuqsgd", "powersgd", "randomk", "rotated", "rotated-dither"),
        *("sign", "terngrad", "topk", "uniform"),
        *("variable", "vote"),
    }


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("minmx", {}, "unknown compressor 'minmx'; did you mean 'minmax'?"),
        ("zip", {}, "unknown compressor 'zip'; known are alq, alq-gd, amq, dgc, dither, dynamiq"),
        ("minmax", {"bits": 0}, "minmax: bits must be from 1 to 8, not 0"),
        ("minmax", {"bits": 9}, "minmax: bits must be from 1 to 8, not 9"),
        ("minmax", {"bits": 2.5}, "minmax: bits must be a whole number, not 2.5"),
        ("uniform", {"bits": 1}, "uniform: bits must be from 2 to 8, not 1"),
        ("minmax", {"bucket_size": 0}, "minmax: bucket_size must be at least 1, not 0"),
        ("uniform", {"norm": "l3"}, "uniform: norm must be one of l1, l2, linf, not 'l3'"),
        ("variable", {"bits": 0.1}, "variable: bits must be from 0.25 to 8.0, not 0.1"),
        ("variable", {"bits": "2"}, "variable: bits must be a number, not '2'"),
        ("rotated", {"bucket_size": 1000}, "rotated: bucket_size must be one of 256, 512, 1024"),
        ("nuqsgd", {"base": 1.0}, "nuqsgd: base must be from 0.01 to 0.99, not 1.0"),
        ("levels", {"level_set": 3}, "levels: level_set must be text, not 3"),
        ("none", {"bits": 4}, "none has no parameter 'bits'; it takes no parameters"),
        ("minmax", {"norm": "l2"}, "minmax has no parameter 'norm'; it takes bits, bucket_size"),
        (
            "powersgd",
            {"rank": 2},
            "powersgd: rank would be that of the process, which for_rank takes; give matrix_rank=2",
        ),
    ],
)
def test_bad_parameters_are_named(name, values, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        compressors.make(name, **values)


@pytest.mark.parametrize(("bits", "per_coordinate"), [(8, 8.0625), (4, 4.0625)])
def test_minmax_bits_per_coordinate(bits, per_coordinate):
    """The sizes of CGX at bucket 1024: 3.969 and 7.877 times less than fp32."""
    assert compressors.make("minmax", bits=bits).payload_bytes(1 << 20) * 8 / (1 << 20) == per_coordinate


def test_minmax_noise_of_a_gaussian_bucket():
    """E||Q(x) - x||^2 / ||x||^2 at bucket 1024: 3.1e-2 with 4 bits, 1.1e-4 with 8."""
    vector = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    for bits, expected in ((4, 3.1e-2), (8, 1.09e-4)):
        compressor = compressors.make("minmax", bits=bits)
        error = (compressor.decompress(*compressor.compress(vector)) - vector).square().sum() / vector.square().sum()
        assert error == pytest.approx(expected, rel=0.05)


def test_uniform_noise_of_a_gaussian_bucket():
    """QSGD with L2 norm and bucket 1024: 2.65 at 4 bits."""
    vector = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    compressor = compressors.make("uniform", bits=4)
    error = (compressor.decompress(*compressor.compress(vector)) - vector).square().sum() / vector.square().sum()
    assert error == pytest.approx(2.647, rel=0.02)


def test_a_payload_of_another_length_is_refused():
    compressor = compressors.make("minmax")
    payload, context = compressor.compress(torch.randn(100))
    with pytest.raises(ValueError, match="cannot hold 100 coordinates"):
        compressor.decompress(payload[:-1], context)


def test_fp16_overflow_is_not_hidden():
    compressor = compressors.make("fp16")
    assert compressor.decompress(*compressor.compress(torch.tensor([1e5]))).isinf().all()
    assert compressor.variance_bound(torch.tensor([1e5])) == float("inf")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_sums_of_fp16_have_the_bits_that_torch_gives_them(dtype):
    """Longer than what is converted at once, and payloads at any address."""
    compressor, vector = compressors.make("fp16"), torch.randn(200_001, generator=torch.Generator().manual_seed(0))
    buffer = torch.empty(2 * len(vector) + 1, dtype=torch.uint8)
    sums = torch.randn(len(vector), generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = sums + vector.half()
    for payload in (buffer[:-1], buffer[1:]):
        compressor.encode(vector, payload, 0)
        assert payload.tolist() == vector.half().view(torch.uint8).tolist()
        found = sums.clone()
        compressor.decode(payload, found, add=True)
        assert torch.equal(found, expected.to(dtype))


class TestExempt:
    def test_small_and_flat_tensors_keep_every_bit(self):
        compressor = Exempt(compressors.make("minmax", bits=2), min_numel=100)
        for tensor in (torch.randn(5000), torch.randn(9, 11), torch.tensor(0.3), torch.randn(100)):
            payload, context = compressor.compress(tensor)
            assert payload.nbytes == 4 * tensor.numel() == compressor.payload_bytes(tensor.shape)
            assert torch.equal(compressor.decompress(payload, context), tensor)

    def test_the_others_are_compressed(self):
        inner = compressors.make("minmax", bits=2)
        compressor = Exempt(inner, min_numel=100)
        tensor = torch.randn(10, 10)
        payload, context = compressor.compress(tensor)
        assert payload.nbytes == inner.payload_bytes(100) == compressor.payload_bytes((10, 10))
        assert compressor.decompress(payload, context).shape == (10, 10)

    def test_state_is_that_of_both(self):
        one = Exempt(compressors.make("minmax"), compressors.make("uniform"), min_numel=100).for_rank(3, seed=8)
        tensors = torch.randn(20, 20), torch.randn(20)
        for tensor in tensors:
            one.compress(tensor)
        two = Exempt(compressors.make("minmax"), compressors.make("uniform"), min_numel=100)
        two.load_state_dict(one.state_dict())
        for tensor in tensors:
            assert torch.equal(one.compress(tensor)[0], two.compress(tensor)[0])

    def test_bad_threshold(self):
        with pytest.raises(ValueError, match="min_numel must be at least 0"):
            Exempt(compressors.make("minmax"), min_numel=-1)


def test_the_compressor_of_the_contributing_guide_conforms():
    """All of the conformance tests take it, as they would if it stood in a file."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.compressors.guide", "-p", "no:cacheprovider"]
    suite = Path(__file__).with_name("test_conformance.py")
    done = subprocess.run(
        [*command, suite, "-k", "bf16"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2} passed", done.stdout, re.MULTILINE), done.stdout


def test_the_guide_keeps_the_rules_of_the_project():
    command = [sys.executable, "-m", "ruff"]
    for check in (("check",), ("format", "--check")):
        done = subprocess.run(
            [*command, *check, "--stdin-filename", "compressors/bfloat16.py", "-"],
            input=next(blocks(ROOT / "CONTRIBUTING.md", "python")).text,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
