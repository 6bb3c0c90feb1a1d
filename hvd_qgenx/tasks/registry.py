"""The tasks by name: each is a folder here and a line below."""

from pathlib import Path

from hvd_qgenx import plugins
from hvd_qgenx.registry import Registry
from hvd_qgenx.training.config import Config

TASKS: Registry[type[Config]] = Registry(
    "task",
    {
        "gan": "hvd_qgenx.tasks.gan.settings:GanConfig",
        "classify": "hvd_qgenx.tasks.classify.settings:ClassifyConfig",
        "language": "hvd_qgenx.tasks.language.settings:LanguageConfig",
        "vae": "hvd_qgenx.tasks.vae.settings:VaeConfig",
    },
    group="hvd_qgenx.tasks",
)
Config.tasks = TASKS


def config_of(run: Path, config: dict[str, object]) -> type[Config]:
    """Returns the configuration class of a run, by its config.json; runs without a task trained a GAN.

    Raises:
        ConfigurationError: there is no such task, or a plugin of the run is missing.
    """
    plugins.require(config, run)
    return TASKS[str(config.get("task", "gan"))]
