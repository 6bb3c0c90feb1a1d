"""Manifests as YAML, which is parsed and never executed."""

from itertools import pairwise

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob.quantity import parse


def test_what_is_written_is_read():
    document = {"a": ["$(x)", "yes", "1", "# no comment", "two\nlines", "é"], "b": {"c": 1}}
    text = mpijob.dump([document], ["hvd-qgenx", "mpijob", "--name", "it's"])
    assert text.startswith("# hvd-qgenx mpijob --name 'it'\"'\"'s'\n")
    assert mpijob.load(text, "text") == [document]


def test_a_word_cannot_leave_the_comment():
    with pytest.raises(ConfigurationError, match=r"'x\\nkind: Pod' holds characters that cannot be printed"):
        mpijob.dump([{}], ["x\nkind: Pod"])


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


LAUGHS = "- &x [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &{name} [{', '.join([f'*{last}'] * 9)}]\n" for last, name in pairwise("xabcdefgh")
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[" * 100_000, "values are nested more than 100 deep in line 1, column 101"),
        ("{a: " * 50_000, "values are nested more than 100 deep in line 1"),
        ("- " * 20_000 + "a", "values are nested more than 100 deep in line 1"),
        ("\n".join(" " * depth + "a:" for depth in range(3000)), "values are nested more than 100 deep in line 101"),
        (LAUGHS, "more than 262,144 values, those that aliases repeat included in line 6"),
        ("a: &a [1, *a]", "the value 'a' contains itself in line 1"),
        ("a: 1\nb: 2001-99-99", "'2001-99-99' cannot be read as timestamp in line 2"),
        ("a: !!bool x", "'x' cannot be read as bool in line 1"),
        ("a: " + "9" * 5000, "9'... is too long for a value that is no string in line 1"),
        ("a: !!" + "t" * 5000 + " x", "could not determine a constructor for the tag"),
    ],
)
def test_what_would_take_much_memory_or_is_no_value_is_refused_with_its_line(text, fault):
    with pytest.raises(ConfigurationError) as caught:
        mpijob.load(text, "file.yaml")
    sentence = str(caught.value)
    assert sentence.startswith("file.yaml is not YAML of plain values: ")
    assert fault in sentence
    assert len(sentence) < 300


def test_aliases_and_long_texts_of_a_usual_size_are_read():
    assert mpijob.load("a: &a [1, 2]\nb: [*a, *a]", "f") == [{"a": [1, 2], "b": [[1, 2], [1, 2]]}]
    assert mpijob.load("a: " + "x" * 5000, "f") == [{"a": "x" * 5000}]
