"""LIBSVM files: what is read, and what is refused with the line that is wrong."""

import bz2

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from hvd_qgenx.data import libsvm
from hvd_qgenx.errors import ConfigurationError


def write(folder, text):
    path = folder / "samples"
    path.write_text(text)
    return path


def test_a_file_by_hand(tmp_path):
    found = libsvm.read(write(tmp_path, "+1 1:0.5 4:-2e1 # a comment\n\n-1\n+1 3:7 \n"))
    assert found.name == "samples"
    assert found.features.toarray().tolist() == [[0.5, 0, 0, -20], [0, 0, 0, 0], [0, 0, 7, 0]]
    assert found.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "expected"), [("2 1", [1, 0]), ("0 1", [0, 1]), ("-1 +1", [0, 1]), ("3 -.5", [1, 0])]
)
def test_the_smaller_label_is_0(labels, expected, tmp_path):
    assert (
        libsvm.read(write(tmp_path, "".join(f"{label} 1:1\n" for label in labels.split()))).labels.tolist() == expected
    )


def test_what_scikit_learn_writes_and_reads(tmp_path):
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 7)) * (random.random((40, 7)) < 0.4)
    features[:, -1] = 1
    labels = np.arange(40) % 2
    dump_svmlight_file(features, labels, str(tmp_path / "file"), zero_based=False)
    found, expected = libsvm.read(tmp_path / "file"), load_svmlight_file(str(tmp_path / "file"))
    assert np.array_equal(found.features.toarray(), expected[0].toarray())
    assert np.array_equal(found.labels, labels)


def test_a_compressed_file(tmp_path):
    (tmp_path / "file.bz2").write_bytes(bz2.compress(b"1 1:1\n2 2:1\n"))
    assert libsvm.read(tmp_path / "file.bz2").features.toarray().tolist() == [[1, 0], [0, 1]]
    (tmp_path / "file.bz2").write_bytes(bz2.compress(b"1 1:1\n2 2:1\n")[:-8])
    with pytest.raises(ConfigurationError, match=r"file\.bz2 cannot be read \(.*ended before.*fetch it again"):
        libsvm.read(tmp_path / "file.bz2")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 2:1 3", "invalid literal|could not convert"),
        ("1 2:1 3:", "could not convert"),
        ("1 2:1 :4", "invalid literal"),
        ("1 2:1 3:4:5", "could not convert"),
        ("1 2:nan", "nan is not a finite number"),
        ("1 2:-inf", "-inf is not a finite number"),
        ("nan 2:1", "nan is not a finite number"),
        ("1 2:1e999", "1e999 is not a finite number"),
        ("1 0:1", "index 0 after 0: indices count from 1"),
        ("1 2:1 2:1", "index 2 after 2: .* increase"),
        ("1 qid:3 2:1", "invalid literal"),
        ("one 2:1", "could not convert"),
        ("\x00\xff", "could not convert"),
    ],
)
def test_a_malformed_line_is_named(line, reason, tmp_path):
    path = write(tmp_path, f"1 1:1\n\n{line}")
    with pytest.raises(ConfigurationError, match=rf"^line 3 of {path} is not of the form .*({reason}).*cut short$"):
        libsvm.read(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no samples"),
        ("# nothing\n\n", "holds no samples"),
        ("1 1:1\n1 2:1\n", r"has 1 different label \(1\); it must have two"),
        ("1 1:1\n2 2:1\n3.5 1:1\n", r"has 3 different labels \(1, 2, 3.5\); it must have two"),
        ("".join(f"{k}\n" for k in range(9)), r"has 9 different labels \(0, 1, 2, 3, 4, \.\.\.\); it must have two"),
    ],
)
def test_what_cannot_be_a_binary_classification(text, sentence, tmp_path):
    with pytest.raises(ConfigurationError, match=sentence):
        libsvm.read(write(tmp_path, text))


def test_what_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot be read .*No such file"):
        libsvm.read(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match=r"cannot be read .*Is a directory"):
        libsvm.read(tmp_path)


def test_fingerprints_tell_samples_apart(tmp_path):
    texts = ("1 1:1\n2 2:1\n", "1 1:1\n2 2:2\n", "2 1:1\n1 2:1\n", "1 1:1\n2 3:1\n", "1 1:1 2:1\n2\n")
    assert len({libsvm.read(write(tmp_path, text)).fingerprint() for text in texts}) == len(texts)
