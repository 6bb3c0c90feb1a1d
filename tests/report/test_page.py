"""The page: whole by itself, well formed, and safe whatever the configuration says."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from hvd_qgenx.report import compare, find, page
from hvd_qgenx.report.figures import PHASES, THREAD
from hvd_qgenx.report.groups import BLACK, COLORS
from tests.report.synthetic import write_run

EMPTY = {"meta", "img"}
EVIL = "<script>alert('x')</script>"


class Parsed(HTMLParser):
    """Elements and text of a page; fails where elements do not close in turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.text.append(data.strip())

    def attributes(self, tag, name):
        return [attributes.get(name) for own, attributes in self.elements if own == tag]


def written(path, out, title="Report", **choice):
    out.mkdir()
    html = page.write(compare(find([path]), **choice), out, title).read_text()
    return html, Parsed(html)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Two modes, two places, two seeds, two scores, an interrupted run, and a difference not asked for."""
    path = tmp_path_factory.mktemp("runs")
    for link in ("1 gbit", "100 mbit"):
        for seed in (0, 1):
            scores = {"fid/raw": (200.0, 20.0 + seed), "fid/ema": (150.0, 15.0), "inception_score/raw": (1.0, 2.0)}
            write_run(path / link / f"none-{seed}", "none", seed, {**scores, "bias/fid": (7.25, 7.25)}, link=link)
            write_run(path / link / f"minmax-{seed}", "minmax", seed, scores, megabytes=0.25, link=link, batch_size=96)
    write_run(path / "1 gbit/none-2", "none", 2, scores, link="1 gbit", finished=False)
    out = tmp_path_factory.mktemp("page") / "out"
    return (*written(path, out), out)


def test_the_page_refers_to_nothing_outside_itself(full):
    html, parsed, _ = full
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"script", "link", "iframe", "object", "a"})
    assert all(source.startswith("data:image/png;base64,") for source in parsed.attributes("img", "src"))
    assert not any(name in attributes for _, attributes in parsed.elements for name in ("href", "srcset", "onload"))
    for outside in ("http:", "https:", "url(", "@import"):
        assert outside not in html


def test_pictures_are_in_the_page_and_beside_it(full):
    _, parsed, out = full
    inside = [base64.b64decode(source.partition(",")[2]) for source in parsed.attributes("img", "src")]
    beside = ["score.png", "weights.png", "breakdown.png", "losses.png"]
    assert inside[:4] == [(out / name).read_bytes() for name in beside]
    assert {path.name for path in out.iterdir()} == {*beside, "samples.png", "index.html", "runs.json"}
    samples = [Image.open(io.BytesIO(each)) for each in inside[4:]]
    assert [(image.size, image.getpixel((0, 0))) for image in samples] == [((24, 24), 40)] * 2  # seed 0, the last
    assert all(parsed.attributes("img", "alt"))


def test_the_page_says_what_differs_and_what_is_unfinished(full):
    _, parsed, _ = full
    assert "batch_size is 48 in none but 96 in minmax 4 bits." in parsed.text
    assert any("none-2 has no summary.json" in text for text in parsed.text)
    assert any("The best possible score is 7.25" in text for text in parsed.text)
    rows = [attributes.get("class") for tag, attributes in parsed.elements if tag == "tr"]
    assert rows.count("unexpected") == 1  # the batch size
    assert rows.count("differs") == 3  # compressor, bits, seeds
    assert "1 gbit" in parsed.text
    assert "fid/ema" in parsed.text


def test_a_malicious_configuration_is_text(tmp_path):
    run = write_run(
        tmp_path / "run",
        scores={f"{EVIL}/ema": (2.0, 1.0)},
        dataset=EVIL,
        optimizer=EVIL,
        preset=EVIL,
        link=EVIL,
        command=[EVIL],
    )
    write_run(tmp_path / "other", link="$x^{$", preset="$\\frac{$", megabytes=1)
    html, parsed = written(tmp_path, tmp_path / "out", title=EVIL)
    assert str(run) in parsed.text
    assert EVIL in parsed.text
    assert "<script" not in html
    assert "script" not in {tag for tag, _ in parsed.elements}


def test_text_that_is_no_unicode_is_escaped(tmp_path):
    write_run(tmp_path / "run", finished=False, link="\ud800")
    (tmp_path / "run/samples").rename(tmp_path / "elsewhere")
    html, _ = written(tmp_path, tmp_path / "out")
    assert "\\ud800" in html


def test_integers_that_are_summed_have_a_picture(tmp_path):
    for compressor in ("none", "intsgd"):
        write_run(tmp_path / compressor, compressor)
    _, parsed = written(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "integers.png").exists()
    assert "Integers" in parsed.text


def test_one_unscored_run_is_drawn(tmp_path):
    write_run(tmp_path / "run")
    _, parsed = written(tmp_path, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"breakdown.png", "losses.png", "samples.png"}
    assert any("hvd-qgenx evaluate" in text for text in parsed.text)


def test_a_run_that_diverged_before_it_wrote_anything_is_drawn(tmp_path):
    path = write_run(tmp_path / "run", finished=False)
    (path / "metrics.csv").unlink()
    (path / "diverged.json").write_text('{"update": 3, "sentence": "the loss is nan"}')
    for picture in (path / "samples").iterdir():
        picture.unlink()
    _, parsed = written(tmp_path, tmp_path / "out")
    assert "1 run in 1 group." in " ".join(parsed.text)


@pytest.mark.parametrize("color", [BLACK[0], *COLORS, *PHASES.values(), *THREAD.values()])
def test_colors_stand_out_from_a_dark_page(color):
    """Lines by the contrast of 3 that WCAG wants of graphics, bars by 2; on white, the palest have 1.7."""
    style = page.render("style.css.j2")
    assert ".plot, .dot { filter: invert(.91) hue-rotate(180deg); }" in style
    background = rgb(re.findall("--back: (#[0-9a-f]{6})", style)[1])
    least = 1 if color == PHASES["waiting"] else 3 if color in (BLACK[0], *COLORS) else 2  # waiting is striped
    assert contrast(inverted(color), background) >= least


def test_white_becomes_the_background_of_a_dark_page_and_black_its_text():
    back, text = (
        re.findall(f"--{name}: (#[0-9a-f]{{6}})", page.render("style.css.j2"))[1] for name in ("back", "text")
    )
    assert inverted("#ffffff") == pytest.approx(rgb(back), abs=0.01)
    assert inverted("#000000") == pytest.approx(rgb(text), abs=0.02)


def test_pictures_of_what_was_learned_are_not_inverted(full):
    _, parsed, _ = full
    alone = [each["alt"] for tag, each in parsed.elements if tag == "img" and each.get("class") != "plot"]
    assert alone == ["Samples of none", "Samples of minmax 4 bits"]


def rgb(color):
    return [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def inverted(color):
    """The colour after ``invert(.91) hue-rotate(180deg)``, by the formulas of CSS."""
    red, green, blue = (0.91 + (1 - 2 * 0.91) * value for value in rgb(color))
    turned = (
        -0.574 * red + 1.430 * green + 0.144 * blue,
        0.426 * red + 0.430 * green + 0.144 * blue,
        0.426 * red + 1.430 * green - 0.856 * blue,
    )
    return [min(1.0, max(0.0, value)) for value in turned]


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color):
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
