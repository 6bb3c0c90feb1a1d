"""The command `hvd-qgenx`: parses, builds, calls."""

import click

from hvd_qgenx.cli.lazy import Entry
from hvd_qgenx.cli.log import print_logs
from hvd_qgenx.cli.plugins import PluginGroup, plugin_options

COMMANDS = {
    "gan": Entry("hvd_qgenx.cli.gan:gan", "Train a GAN on any number of ranks."),
    "classify": Entry("hvd_qgenx.cli.classify:classify", "Train an image classifier on any number of ranks."),
    "language": Entry("hvd_qgenx.cli.language:language", "Train a language model on any number of ranks."),
    "vae": Entry("hvd_qgenx.cli.vae:vae", "Train a variational autoencoder on any number of ranks."),
    "logistic": Entry("hvd_qgenx.cli.logistic:logistic", "Compare methods on logistic regression."),
    "sweep": Entry("hvd_qgenx.cli.sweep:sweep", "Train with every preset and seed of a file, then report."),
    "report": Entry("hvd_qgenx.cli.report:report_command", "Compare runs on one page."),
    "evaluate": Entry("hvd_qgenx.cli.evaluate:evaluate_command", "Score runs at their last checkpoints."),
    "sample": Entry("hvd_qgenx.cli.sample:sample", "Draw images or text from what a run has learned."),
    "bilinear": Entry("hvd_qgenx.cli.bilinear:bilinear", "Compare methods on a bilinear WGAN."),
    "game": Entry("hvd_qgenx.cli.game:game", "Compare methods on games with known solutions."),
    "topology": Entry("hvd_qgenx.cli.topology:topology", "Compare topologies of gossip."),
    "consensus": Entry("hvd_qgenx.cli.consensus:consensus", "Measure how fast ranks agree."),
    "levels": Entry("hvd_qgenx.cli.levels:levels", "Compare level sets."),
    "measure": Entry("hvd_qgenx.cli.measure:measure_command", "Measure the error and the bits of compressors."),
    "bench": Entry("hvd_qgenx.cli.bench:bench", "Time compressors and exchanges."),
    "doctor": Entry("hvd_qgenx.cli.doctor:doctor", "Check software, ranks and links, and advise."),
    "mpijob": Entry("hvd_qgenx.cli.mpijob:mpijob", "Write or check a manifest for Kubeflow's MPI operator."),
    "trainjob": Entry("hvd_qgenx.cli.trainjob:trainjob", "Write or check manifests for Kubeflow Trainer."),
}


@click.group(
    cls=PluginGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@plugin_options
@click.version_option(package_name="hvd-qgenx")
def main() -> None:
    """Distributed training of min-max problems and of ordinary models with compressed communication.

    \b
    Without a launcher, every command runs in one process. Start it with horovodrun for several ranks:
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --compressor minmax --bits 4
    """
    print_logs()
