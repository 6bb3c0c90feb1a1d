"""Manifests as YAML, which is parsed and never executed."""

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob.quantity import parse


def test_what_is_written_is_read():
    document = {"a": ["$(x)", "yes", "1", "# no comment", "two\nlines", "é"], "b": {"c": 1}}
    text = mpijob.dump(document, ["hvd-qgenx", "mpijob", "--name", "it's"])
    assert text.startswith("# hvd-qgenx mpijob --name 'it'\"'\"'s'\n")
    assert mpijob.load(text, "text") == [document]


def test_a_word_cannot_leave_the_comment():
    with pytest.raises(ConfigurationError, match=r"'x\\nkind: Pod' holds characters that cannot be printed"):
        mpijob.dump({}, ["x\nkind: Pod"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: !!python/object/apply:os.system ['touch /tmp/never']", "could not determine a constructor for the tag"),
        ("a: 1\nb: 2\na: 3", "found 'a' twice"),
        ("a: [1", "expected ',' or ']'"),
        ("? [1, 2]\n: 3", "unhashable key"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, sentence):
    with pytest.raises(ConfigurationError, match=r"file\.yaml is not YAML of plain values") as caught:
        mpijob.load(text, "file.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_hold_several_documents():
    assert mpijob.load("---\na: 1\n---\n---\nb: &x {c: 2}\nd: {<<: *x, e: 3}\n", "file") == [
        {"a": 1},
        {"b": {"c": 2}, "d": {"c": 2, "e": 3}},
    ]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", 0.5),
        ("2", 2),
        (2, 2),
        (1.5, 1.5),
        ("8Gi", 8 * 2**30),
        ("1k", 1000),
        ("1e3", 1000),
        ("-1M", -1e6),
        (".5", 0.5),
    ],
)
def test_amounts(text, amount):
    assert parse(text) == amount


@pytest.mark.parametrize("text", ["", "8GB", "1KiB", "one", "1 Gi", None, True, "--1", "."])
def test_no_amounts(text):
    with pytest.raises(ValueError, match="is not an amount"):
        parse(text)
