"""hvd-qgenx bench: files, tables and pictures, and bad input."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

import compressors
from hvd_qgenx.bench import codec
from hvd_qgenx.bench.exchange import Ours
from hvd_qgenx.cli import main


def call(*arguments: object):
    return CliRunner().invoke(main, ["bench", *(str(argument) for argument in arguments)])


def read(path):
    return json.loads(path.read_text())


def test_every_compressor_by_default(tmp_path):
    options = ("--bits", 2, "--bits", 4, "--bits", 2.5)
    result = call("codec", "--size", "1e3", *options, "--repeats", 1, "--json", tmp_path / "new" / "codec.json")
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "new" / "codec.json")
    rows = {(row["compressor"], row["setting"]): row for row in found["rows"]}
    assert {name for name, _ in rows} == set(compressors.names())
    widths = {name: [setting for other, setting in rows if other == name] for name, _ in rows}
    assert widths["minmax"] == ["2 bits", "4 bits"]
    assert widths["terngrad"] == ["2 bits"]
    assert widths["levels"] == ["3 bits"]  # its own
    assert widths["variable"] == ["2 bits", "2.5 bits", "3 bits", "4 bits"]
    assert rows["minmax", "4 bits"]["payload_bytes"] == 8 + 500
    assert rows["none", ""]["bits"] == 32
    assert found["machine"]["cores"] >= 1
    assert found["kind"] == "codec"
    assert "minmax, 4 bits" in result.stdout


def test_sizes_threads_and_codes(tmp_path):
    figure = tmp_path / "codec.png"
    options = ("--size", "2^14", "--size", "3e4", "--bits", 4, "--dtype", "bfloat16", "--coding", "huffman")
    result = call("codec", "minmax", *options, "--repeats", 1, "--json", tmp_path / "c.json", "--figure", figure)
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "c.json")["rows"]
    assert [(row["compressor"], row["size"]) for row in rows] == [
        *(("minmax", 16384), ("minmax + huffman", 16384)),
        *(("minmax", 30000), ("minmax + huffman", 30000)),
    ]
    assert rows[1]["payload_bytes"] < rows[0]["payload_bytes"]
    assert {row["dtype"] for row in rows} == {"bfloat16"}
    assert Image.open(figure).size[0] > 500


def test_wrong_bits_end_it_before_any_figure(tmp_path, monkeypatch):
    def wrong(case, *_):
        raise codec.MismatchError(f"{case.label}: wrong")

    monkeypatch.setattr(codec, "verify", wrong)
    result = call("codec", "minmax", "--bits", 4, "--size", 1000, "--json", tmp_path / "codec.json")
    assert result.exit_code == 1
    assert result.stderr == "Error: minmax, 4 bits: wrong\n"
    assert result.stdout == ""
    assert not (tmp_path / "codec.json").exists()


def test_exchanges_in_one_process(tmp_path):
    json_file, figure = tmp_path / "exchange.json", tmp_path / "exchange.png"
    options = ("--numel", 5000, "--workers", 1, "--workers", 2, "--repeats", 2, "--rate", "100mbit")
    result = call("exchange", *options, "--compressor", "minmax:bits=3", "--json", json_file, "--figure", figure)
    assert result.exit_code == 0, result.output
    rows = read(json_file)["rows"]
    assert [(row["system"], row["ranks"]) for row in rows] == [
        *(("none", 1), ("minmax:bits=3", 1)),
        *(("none", 2), ("minmax:bits=3", 2)),
    ]
    assert rows[2]["bytes_sent"] == 4 * 5000
    assert rows[2]["floor_seconds"] == 4 * 5000 / 12.5e6
    assert rows[0]["bytes_sent"] == 0
    assert "5,000 gradients in 1 tensor, 2 ranks on 1 host, 100 mbit/s" in result.stdout
    assert Image.open(figure).size[0] > 500


def test_a_wrong_mean_ends_it(monkeypatch):
    right = Ours.result
    monkeypatch.setattr(Ours, "result", lambda self: right(self) + 1)
    result = call("exchange", "--numel", 5000, "--workers", 2)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: none: the result is not the mean over ranks")
    assert result.stdout == ""


def test_report(tmp_path):
    codecs, exchanges, page = tmp_path / "codec.json", tmp_path / "exchange.json", tmp_path / "docs" / "page.md"
    assert call("codec", "minmax", "--size", 1000, "--repeats", 1, "--json", codecs).exit_code == 0
    options = ("--numel", 5000, "--workers", 2, "--workers", 4, "--repeats", 1, "--exchange", "two-phase")
    assert call("exchange", *options, "--compressor", "minmax", "--json", exchanges).exit_code == 0
    result = call("report", codecs, exchanges, "--out", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "| minmax, 4 bits | 4.06 | 508 |" in text
    assert "| minmax, two-phase | 5,000 |" in text
    assert (page.parent / "images" / f"{page.stem}-codec.png").exists()
    page.write_text(text + "My own notes.\n")
    assert call("report", codecs, exchanges, "--out", page).exit_code == 0
    assert page.read_text() == text + "My own notes.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["codec", "--size", "0"], "0 is not a whole number of at least 1."),
        (["codec", "--size", "-1e3"], "-1e3 is not a whole number of at least 1."),
        (["codec", "--size", "2.5"], "2.5 is not a whole number of at least 1."),
        (["codec", "--size", "inf"], "inf is not a whole number of at least 1."),
        (["codec", "--size", "2^0.5"], "2^0.5 is not a whole number"),
        (["codec", "--size", "1e400^9"], "is not a whole number"),
        (["codec", "--size", "many"], "'many' is not a number."),
        (["codec", "--threads", "0"], "0 is not in the range x>=1"),
        (["codec", "--threads", "100000"], "100000 threads cannot run at once"),
        (["codec", "--repeats", "0"], "0 is not in the range x>=1"),
        (["codec", "minmx"], "unknown compressor 'minmx'; did you mean 'minmax'?"),
        (["codec", "--bits", "11"], "no compressor can have 11 bits"),
        (["codec", "minmax", "--bits", "9"], "minmax: bits must be from 1 to 8, not 9"),
        (["codec", "--json", "/proc/none/codec.json"], "cannot write /proc/none/codec.json"),
        (["exchange", "--rate", "1gbps"], "'1gbps' is not a rate such as 100mbit or 1gbit."),
        (["exchange", "--rate", "0mbit"], "'0mbit' is not a rate"),
        (["exchange", "--workers", "0"], "0 is not in the range x>=1"),
        (["exchange", "--slice-bytes", "0"], "0 is not a whole number of at least 1."),
        (["exchange", "--compressor", "minmax:bit=3"], "minmax has no parameter 'bit'"),
        (["exchange", "--exchange", "two-fase"], "unknown exchange 'two-fase'; did you mean 'two-phase'?"),
        (["exchange", "--exchange", "allreduce"], "payloads of minmax cannot be averaged"),
        (["exchange", "--expect-ranks", "3"], "expected 3 ranks but there are 1"),
        (["report", "nothing.json"], "nothing.json cannot be read: No such file"),
    ],
)
def test_bad_input(arguments, sentence):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stdout == ""
