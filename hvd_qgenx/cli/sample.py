"""hvd-qgenx sample"""

from collections.abc import Sequence
from pathlib import Path

import click
import torch
from PIL import Image
from torch import Tensor

from hvd_qgenx.cli import options
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import figures
from hvd_qgenx.tasks.gan.generation import draw
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.training.config import WEIGHTS

AT_ONCE = 256
"""Images that the generator makes in one pass."""


class Classes(click.ParamType):  # type: ignore[type-arg]
    """Labels, as numbers with commas between."""

    name = "labels"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        try:
            return [int(label) for label in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of labels such as 3,5.", param, ctx)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--weights", default="ema", show_default=True, help=f"One of {', '.join(WEIGHTS)}: the last, or an average."
)
@click.option("--count", type=click.IntRange(1), default=64, show_default=True, help="Images.")
@click.option("--columns", type=click.IntRange(1), default=8, show_default=True, help="Of the grid.")
@click.option("--seed", type=int, help="Of the latents.  [default: the run's own: those of its sample pictures]")
@click.option("--classes", type=Classes(), help="Labels to take in turn, like 3,5, if the run is conditional.")
@click.option("--out", type=click.Path(path_type=Path), help="The picture.  [default: RUN/samples/WEIGHTS-UPDATES.png]")
@click.option("--separately", type=click.Path(path_type=Path), help="Folder: write every image by itself, as it is.")
def sample(
    run: Path,
    weights: str,
    count: int,
    columns: int,
    seed: int | None,
    classes: Sequence[int] | None,
    out: Path | None,
    separately: Path | None,
) -> None:
    """Draw images from the generator of a run, finished or interrupted.

    \b
    Examples:
      hvd-qgenx sample runs/cifar
      hvd-qgenx sample runs/cifar --weights uniform --count 100 --columns 10 --seed 7 --out grid.png
      hvd-qgenx sample runs/cifar --count 1000 --separately images

    The generator is that of the last checkpoint. The same run, weights and seed give the same images.
    """
    with options.exit_codes():
        options.require_alone()
        if out is not None and separately is not None:
            raise ConfigurationError("images go into one picture or into a folder; give --out or --separately")
        saved = SavedRun.read(run)
        images = _images(saved, weights, count, saved.config.seed if seed is None else seed, classes)
        if separately is not None:
            _make(separately)
            _write_separately(images, separately)
            click.echo(f"{count} images in {separately}")
        else:
            path = out or run / "samples" / f"{weights}-{saved.updates}.png"
            _make(path.parent)
            figures.save_grid(images, path, columns)
            click.echo(f"{count} images in {path}")


@torch.inference_mode()
def _images(saved: SavedRun, weights: str, count: int, seed: int, classes: Sequence[int] | None) -> Tensor:
    """Shape (count, channels, side, side), in [-1, 1]."""
    generator = saved.generator(weights)
    latents, labels = draw(count, saved.config.latent, saved.classes, seed, RandomStream.SAMPLES)
    if classes is not None:
        labels = _in_turn(classes, count, saved.classes)
    parts = [slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE)]
    return torch.cat([generator(latents[part], None if labels is None else labels[part]).float() for part in parts])


def _in_turn(classes: Sequence[int], count: int, known: int) -> Tensor:
    if not known:
        raise ConfigurationError("the run is not conditional: its generator takes no classes; leave out --classes")
    for label in classes:
        if not 0 <= label < known:
            raise ConfigurationError(f"there is no class {label}; they are 0 to {known - 1}")
    return torch.tensor(classes).repeat(-(-count // len(classes)))[:count]


def _write_separately(images: Tensor, folder: Path) -> None:
    digits = len(str(len(images) - 1))
    for number, pixels in enumerate(figures.to_bytes(images).permute(0, 2, 3, 1)):
        Image.fromarray(pixels.squeeze(2).numpy()).save(folder / f"{number:0{digits}d}.png")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from error
