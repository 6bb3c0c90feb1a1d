"""hvd-qgenx bilinear"""

from typing import Any

import click

from hvd_qgenx.cli.comparison import comparison_options, run_comparison
from hvd_qgenx.cli.options import Finite

STEPS = {"sgda": 0.1, "alternating": 0.1, "extra-gradient": 0.6, "past": 0.5}
"""Step sizes of Gidel et al. for this game, by method."""


@click.command()
@comparison_options(100, STEPS)
@click.option("--dimension", type=click.IntRange(1), default=1, show_default=True, help="Coordinates of each player.")
@click.option("--start", type=(Finite(), Finite()), default=(2.0, 0.5), show_default=True, help="First theta and phi.")
@click.option("--clip", type=Finite(0, min_open=True), default=1.0, show_default=True, help="Bound of |phi|.")
@click.option("--unconstrained", is_flag=True, help="Leave phi free.")
def bilinear(**values: Any) -> None:
    """Play min over theta, max over phi of <theta, phi> and compare methods.

    \b
    Examples:
      hvd-qgenx bilinear
      hvd-qgenx bilinear --method extra-gradient --compressor none --compressor uniform:bits=3 --workers 4
      horovodrun -np 4 -H localhost:4 hvd-qgenx bilinear --noise 0.1 --compressor minmax --dimension 100

    The same call gives the same numbers with --workers N and with horovodrun -np N. The step sizes
    and the bound on phi are those of Gidel et al. (ICLR 2019); `hvd-qgenx game bilinear` plays with
    other matrices. Writes bilinear.csv, bilinear.png, summary.json and config.json.
    """
    from hvd_qgenx.games.bilinear import LinearWGAN
    from hvd_qgenx.games.compare import always

    clip = None if values["unconstrained"] else values["clip"]
    game = LinearWGAN(values["dimension"], values["start"], clip)
    run_comparison("bilinear", lambda: always(game), values, STEPS)
