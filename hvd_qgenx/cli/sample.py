"""hvd-qgenx sample"""

from pathlib import Path
from typing import Any

import click

from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.training.config import WEIGHTS


class Classes(click.ParamType):  # type: ignore[type-arg]
    """Names or numbers of classes, with commas between."""

    name = "classes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        words = [word.strip() for word in str(value).split(",")]
        return words if all(words) else self.fail(f"{value!r} is not a list of classes such as 3,5.", param, ctx)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--weights", help=f"One of {', '.join(WEIGHTS)}: the last, or an average.  [default: ema of a GAN, or raw]"
)
@click.option("--seed", type=int, help="Of the random numbers.  [default: the run's own]")
@click.option("--count", type=click.IntRange(1), help="Images.  [default: 64]")
@click.option("--columns", type=click.IntRange(1), help="Images in a row of the picture.  [default: 8]")
@click.option(
    "--classes",
    type=Classes(),
    help="Classes to take in turn, by name or number, like dog,cat or 3,5, if the GAN is conditional.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The picture.  [default: RUN/samples/WEIGHTS-UPDATES.png]")
@click.option("--separately", type=click.Path(path_type=Path), help="Folder: write every image by itself, as it is.")
@click.option("--prompt", help="Text that a language model continues.  [default: none]")
@click.option("--tokens", type=click.IntRange(1), help="Words or characters of the continuation.  [default: 100]")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    help="Of the continuation: 0 takes the likeliest token, 1 draws as the model says.  [default: 1]",
)
def sample(run: Path, **asked: Any) -> None:
    """Draw from what a run has learned, finished or interrupted: images of a GAN or an autoencoder, or text.

    \b
    Examples:
      hvd-qgenx sample runs/cifar
      hvd-qgenx sample runs/cifar --weights uniform --count 100 --columns 10 --seed 7 --out grid.png
      hvd-qgenx sample runs/cifar --count 1000 --separately images
      hvd-qgenx sample runs/text --prompt "In the beginning" --tokens 50 --temperature 0.8

    The model is that of the last checkpoint. The same run, weights and seed give the same samples.
    """
    from hvd_qgenx.tasks import sampling

    with exit_codes():
        require_alone()
        click.echo(sampling.sample(run, {name: value for name, value in asked.items() if value is not None}))
