"""Names of language models."""

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.tasks.language.models.base import LanguageModel

MODELS: "Registry[type[LanguageModel]]" = Registry(
    "language model",
    {
        "lstm": "hvd_qgenx.tasks.language.models.lstm:LSTM",
        "transformer": "hvd_qgenx.tasks.language.models.transformer:Transformer",
    },
    group="hvd_qgenx.models",
    prefix="language.",
)
