"""hvd-qgenx sample"""

from collections.abc import Sequence
from pathlib import Path

import click

from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.training.config import WEIGHTS


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
    from hvd_qgenx.tasks.gan import samples
    from hvd_qgenx.tasks.gan.saved import SavedRun

    with exit_codes():
        require_alone()
        if out is not None and separately is not None:
            raise ConfigurationError("images go into one picture or into a folder; give --out or --separately")
        saved = SavedRun.read(run)
        images = samples.images(saved, weights, count, saved.config.seed if seed is None else seed, classes)
        if separately is not None:
            samples.write_separately(images, separately)
            click.echo(f"{count} images in {separately}")
        else:
            path = out or run / "samples" / f"{weights}-{saved.updates}.png"
            samples.write_grid(images, path, columns)
            click.echo(f"{count} images in {path}")
