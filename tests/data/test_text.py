"""Texts as tokens, from files and from a Markov chain; what cannot be read is refused in a sentence."""

import math
import zipfile
from pathlib import Path

import pytest
import torch

from hvd_qgenx.data import registry, text_sources, texts
from hvd_qgenx.data.markov import LENGTHS, STATES, MarkovChain, markov_corpus
from hvd_qgenx.data.text import END, UNKNOWN, Corpus, Vocabulary, read_corpus
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.inprocess import InProcess

TEXTS = {"train": "a b a\n\nc a\n", "valid": "a d\n", "test": "b\n"}


def written(folder: Path, **changes: str | bytes) -> dict[str, Path]:
    paths = {part: folder / f"{part}.txt" for part in TEXTS}
    for part, path in paths.items():
        text = changes.get(part, TEXTS[part])
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


def words_of(corpus: Corpus, part: str) -> list[str]:
    return [corpus.vocabulary.tokens[number] for number in corpus.parts[part].tolist()]


def load(folder: Path, dataset: str = "folder", **changes) -> Corpus:
    given = {"unit": "words", "least": 1, "seed": 0, **changes}
    return texts.load(dataset, folder, False, InProcess(), **given)


def test_words_and_ends_of_lines_are_tokens_the_most_frequent_first(tmp_path):
    corpus = read_corpus("text", written(tmp_path), "words")
    assert corpus.vocabulary.tokens == (END, "a", "b", "c", UNKNOWN)
    assert words_of(corpus, "train") == ["a", "b", "a", END, END, "c", "a", END]
    assert words_of(corpus, "valid") == ["a", UNKNOWN, END]


def test_rare_words_are_unknown_and_a_vocabulary_without_need_of_it_has_no_unknown(tmp_path):
    corpus = read_corpus("text", written(tmp_path), "words", least=2)
    assert corpus.vocabulary.tokens == (END, "a", UNKNOWN)
    assert words_of(corpus, "train") == ["a", UNKNOWN, "a", END, END, UNKNOWN, "a", END]
    assert UNKNOWN not in read_corpus("text", written(tmp_path, valid="a a\n"), "words").vocabulary.tokens


def test_the_unknown_token_of_a_text_is_used(tmp_path):
    corpus = read_corpus("text", written(tmp_path, train="a <unk> b\n"), "words")
    assert corpus.vocabulary.tokens.count(UNKNOWN) == 1
    assert words_of(corpus, "valid") == ["a", UNKNOWN, END]


def test_characters(tmp_path):
    corpus = read_corpus("text", written(tmp_path, train="äb\na", valid="a\n", test="b\n"), "characters")
    assert set(corpus.vocabulary.tokens) == set("äb\na")
    assert corpus.vocabulary.decode(corpus.parts["train"].tolist()) == "äb\na"


@pytest.mark.parametrize("text", [b"a b", b"a b\n", b"a b\r\n", b"\xef\xbb\xbfa b\n"], ids=repr)
def test_ends_of_files_and_lines_and_marks_of_byte_order_make_no_difference(text, tmp_path):
    corpus = read_corpus("text", written(tmp_path, train=text), "words")
    assert words_of(corpus, "train") == ["a", "b", END]


def test_a_text_decodes_to_what_it_was():
    vocabulary = Vocabulary((END, "in", "the", "beginning"), "words")
    numbers = vocabulary.encode("in the beginning")
    assert vocabulary.decode([*numbers, 0, 1]) == "in the beginning\nin"


def test_an_unknown_word_of_a_prompt_is_named_with_the_nearest():
    vocabulary = Vocabulary((END, "in", "the", "beginning"), "words")
    with pytest.raises(ConfigurationError, match=r"'begining' is not among the 4 tokens.*nearest is 'beginning'"):
        vocabulary.encode("in the begining")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "a\nb caf\xe9\n".encode("latin1")}, r"line 2 of .*train.txt is not UTF-8 \(byte 0xe9\).*iconv"),
        ({"test": ""}, r"test.txt holds 0 tokens, too few"),
        ({"valid": "\n"}, r"valid.txt holds 1 tokens, too few"),
    ],
)
def test_what_cannot_be_a_part_is_refused(changes, message, tmp_path):
    written(tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path)


def test_folders_without_a_part_or_with_two_of_it_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"has no train\.txt; a folder of text holds"):
        load(tmp_path)
    written(tmp_path)
    (tmp_path / "train.tokens").write_text("a")
    with pytest.raises(ConfigurationError, match=r"several files train\.\* \(train.tokens, train.txt\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("dataset", "folder", "file"),
    [("wikitext-2", "wikitext-2", "wiki.{}.tokens"), ("ptb", "", "ptb.{}.txt"), ("wikitext-103", "", "wiki.{}.tokens")],
)
def test_published_texts_are_found_by_their_names(dataset, folder, file, tmp_path):
    with pytest.raises(ConfigurationError, match="add --download, name its folder with --data-dir"):
        load(tmp_path, dataset)
    (tmp_path / folder).mkdir(exist_ok=True)
    for part, text in TEXTS.items():
        (tmp_path / folder / file.format(part)).write_text(text)
    assert words_of(load(tmp_path, dataset), "test") == ["b", END]


def test_the_download_of_wikitext_is_unpacked(monkeypatch, tmp_path):
    def fetch(_url: str, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for part, text in TEXTS.items():
                archive.writestr(f"wikitext-2/wiki.{part}.tokens", text)

    monkeypatch.setattr(text_sources, "fetch", fetch)
    corpus = texts.load("wikitext-2", tmp_path, True, InProcess(), unit="words", least=1, seed=0)
    assert words_of(corpus, "test") == ["b", END]


def test_a_fingerprint_tells_texts_and_vocabularies_apart(tmp_path):
    first = load(tmp_path) if written(tmp_path) else None
    again = load(tmp_path)
    least = load(tmp_path, least=2)
    written(tmp_path, test="b a\n")
    assert first is not None
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, least.fingerprint, load(tmp_path).fingerprint}) == 3


def test_the_chain_has_the_stationary_distribution_and_entropy_that_it_says():
    chain = MarkovChain(0)
    torch.testing.assert_close(chain.stationary @ chain.transitions, chain.stationary)
    assert float(chain.stationary.sum()) == pytest.approx(1)
    assert float(chain.transitions.sum(1).sub(1).abs().max()) < 1e-12
    tokens = chain.draw(200_000, 9).long()
    found = tokens.bincount(minlength=STATES) / len(tokens)
    assert float((found - chain.stationary).abs().max()) < 0.004
    surprise = -chain.transitions.log()[tokens[:-1], tokens[1:]]
    error = float(surprise.std()) / len(surprise) ** 0.5
    assert float(surprise.mean()) == pytest.approx(chain.entropy, abs=4 * error)


def test_the_chain_is_a_function_of_the_seed():
    first, again, other = markov_corpus("m", 0), markov_corpus("m", 0), markov_corpus("m", 1)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert {part: len(tokens) for part, tokens in first.parts.items()} == LENGTHS
    assert first.floor == pytest.approx(math.exp(MarkovChain(0).entropy))
    assert 10 < first.floor < STATES
    assert not torch.equal(first.parts["train"][:20_000], first.parts["valid"])


def test_texts_are_registered():
    assert set(registry.TEXTS) == {"markov", "ptb", "wikitext-2", "wikitext-103", "folder"}


def test_real_text(data_dir):
    if not (data_dir / "text" / "train.txt").exists():
        pytest.skip("no text among the data sets")
    corpus = load(data_dir / "text")
    assert [len(corpus.parts[part]) for part in ("train", "valid", "test")] == [853_568, 45_062, 46_127]
    assert len(corpus.vocabulary) == 13_211 + 2  # <eos> and <unk>
