"""Compressors that are asked for by text."""

import pytest

import compressors
from compressors.spec import Spec
from compressors.text import at_widths, read


def test_a_value_may_hold_commas():
    assert Spec.parse("levels:level-set=0,0.5,1,bits=3") == Spec("levels", {"level_set": "0,0.5,1", "bits": "3"})
    assert Spec.parse("none") == Spec("none", {})


def test_values_have_the_types_of_the_parameters():
    assert read("uniform:bits=2,norm=linf").values == {"bits": 2, "norm": "linf"}
    assert list(read("minmax").fields) == ["bits", "bucket_size", "rounding"]
    made = compressors.parse("minmax:bits=2,bucket-size=64")
    assert (type(made), made.bits, made.bucket_size) == (compressors.MinMax, 2, 64)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("minmix", "unknown compressor 'minmix'; did you mean 'minmax'"),
        ("minmax:bits", "not of the form name:parameter=value"),
        ("minmax:norm=l2", "minmax has no parameter 'norm'; it takes bits, bucket_size"),
        ("minmax:bits=four", "minmax: bits must be a whole number, not 'four'"),
        ("minmax:bits=9", "minmax: bits must be from 1 to 8, not 9"),
        ("none:bits=4", "none has no parameter 'bits'; it takes no parameters"),
    ],
)
def test_bad_text(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        compressors.parse(text)


def test_widths_are_those_that_a_compressor_can_have():
    made = at_widths(["minmax", "uniform", "none", "minmax:bits=5"], [1, 2.5, 4])
    assert [(text, width) for text, width, _ in made] == [
        ("minmax", "1 bits"),
        ("minmax", "4 bits"),
        ("uniform", "4 bits"),
        ("none", ""),
        ("minmax:bits=5", ""),
    ]
    assert [getattr(compressor, "bits", None) for *_, compressor in made] == [1, 4, 4, None, 5]
    with pytest.raises(ValueError, match="uniform: bits must be from 2 to 8, not 1"):
        at_widths(["uniform"], [1])
