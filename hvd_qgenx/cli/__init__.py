"""The command `hvd-qgenx`: parses, builds, calls."""

import click

from hvd_qgenx.cli.bench import bench
from hvd_qgenx.cli.bilinear import bilinear
from hvd_qgenx.cli.classify import classify
from hvd_qgenx.cli.doctor import doctor
from hvd_qgenx.cli.evaluate import evaluate_command
from hvd_qgenx.cli.game import game
from hvd_qgenx.cli.gan import gan
from hvd_qgenx.cli.levels import levels
from hvd_qgenx.cli.measure import measure_command
from hvd_qgenx.cli.mpijob import mpijob
from hvd_qgenx.cli.report import report_command
from hvd_qgenx.cli.sample import sample
from hvd_qgenx.cli.sweep import sweep


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hvd-qgenx")
def main() -> None:
    """Distributed training of min-max problems with compressed communication.

    \b
    Alone, every command runs in one process. Start it with horovodrun for several ranks:
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --compressor minmax --bits 4
    """


main.add_command(gan)
main.add_command(classify)
main.add_command(sweep)
main.add_command(report_command)
main.add_command(evaluate_command)
main.add_command(sample)
main.add_command(bilinear)
main.add_command(game)
main.add_command(levels)
main.add_command(measure_command)
main.add_command(bench)
main.add_command(doctor)
main.add_command(mpijob)
