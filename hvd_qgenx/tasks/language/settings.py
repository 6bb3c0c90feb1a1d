"""Settings of a language model's run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hvd_qgenx.data.registry import TEXTS
from hvd_qgenx.data.units import UNITS
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.images import ImageConfig
from hvd_qgenx.tasks.language.models.registry import MODELS
from hvd_qgenx.training.config import COMPRESSION, MACHINE, NEUTRAL, RUN, STUDIED, TRAINING
from hvd_qgenx.training.gossip import GOSSIP, NONE
from hvd_qgenx.training.settings import redeclared, setting
from hvd_qgenx.training.single_model.settings import EVALUATION, STEP_SIZE, SingleModelConfig

TEXT, MODEL = "Text", "Model"
TRANSFORMER = "transformer"

RATES = {
    **dict.fromkeys(("sgd", "extra-sgd", "past-extra-sgd", "optimistic-sgd"), 5.0),
    **dict.fromkeys(("adam", "adamw", "extra-adam", "past-extra-adam", "optimistic-adam"), 2e-3),
    **dict.fromkeys(("qgenx-de", "qgenx-da", "qgenx-optda", "qoda", "qoda-separated"), 10.0),
}
"""Optimizers that a language model can be trained with, and their default step sizes."""


@dataclass(frozen=True)
class LanguageConfig(SingleModelConfig):
    """One run of ``hvd-qgenx language``."""

    task: ClassVar[str] = "language"
    implementation: ClassVar[str] = "hvd_qgenx.tasks.language.task:LanguageTask"
    evaluation: ClassVar[str] = "hvd_qgenx.tasks.language.evaluation:evaluate_runs"
    sampling: ClassVar[str | None] = "hvd_qgenx.tasks.language.sampling:sample"
    rates: ClassVar[Mapping[str, float]] = RATES
    sections: ClassVar[tuple[str, ...]] = (
        TEXT,
        MODEL,
        TRAINING,
        STEP_SIZE,
        COMPRESSION,
        GOSSIP,
        EVALUATION,
        MACHINE,
        RUN,
    )

    dataset: str = setting(
        "markov",
        "Text; markov is made from the seed and has a known entropy, folder is any text in three files.",
        TEXT,
        choices=TEXTS,
    )
    data_dir: str = redeclared(
        ImageConfig,
        "data_dir",
        "data",
        help="Folder of the texts; for folder, that of train.txt, valid.txt and test.txt.",
        section=TEXT,
    )
    tokens: str = setting("words", "What a text is cut into: words at spaces, or characters.", TEXT, choices=UNITS)
    min_count: int = setting(
        1,
        "Least number of times that a token is in the text to train on; rarer ones become <unk>.",
        TEXT,
        limits="[1, inf)",
    )
    model: str = setting("lstm", "Architecture.", MODEL, choices=MODELS)
    layers: int = setting(1, "Layers.", MODEL, limits="[1, inf)")
    units: int = setting(64, "Width of embeddings and layers.", MODEL, limits="[1, inf)")
    heads: int = setting(4, "Attention heads of a layer of the transformer.", MODEL, limits="[1, inf)")
    dropout: float = setting(0.0, "Share of values that dropout zeros.", MODEL, limits="[0, 1)")
    tied: bool = setting(True, "The decoder's weights are the embedding's.", MODEL)
    init_range: float = setting(
        0.1,
        "Spread of the first weights: of embedding and decoder of the lstm, uniform; of the transformer, normal.",
        MODEL,
        limits="(0, inf)",
    )
    sparse_embedding: bool = setting(
        False,
        "Exchange the embedding's gradient as the rows of the tokens read, without the zeros; for --no-tied.",
        MODEL,
        role=STUDIED,
    )
    batch_size: int = redeclared(
        SingleModelConfig, "batch_size", 24, help="Streams of text that are read side by side, over all ranks together."
    )
    bptt: int = setting(
        30, "Tokens of every stream in an update: gradients flow back through as many.", TRAINING, limits="[1, inf)"
    )
    optimizer: str = redeclared(SingleModelConfig, "optimizer", "sgd", names=RATES)
    momentum: float = redeclared(SingleModelConfig, "momentum", 0.0)
    weight_decay: float = redeclared(SingleModelConfig, "weight_decay", 0.0)
    clip_norm: float = redeclared(SingleModelConfig, "clip_norm", 0.4)
    local_tokens: int = setting(
        0,
        "Test tokens that every rank's own model is scored on, with --mixing; 0: all.",
        EVALUATION,
        limits="[0, inf)",
        may_change=True,
        role=NEUTRAL,
    )

    @property
    def data_folder(self) -> Path:
        """The folder of data sets."""
        return Path(self.data_dir).expanduser()

    def check(self, ranks: int) -> None:
        super().check(ranks)
        if self.model == TRANSFORMER and self.units % self.heads:
            raise ConfigurationError(f"{self.units} units cannot be cut into {self.heads} heads; choose a multiple")
        if self.sparse_embedding:
            self._check_sparse()

    def _check_sparse(self) -> None:
        """Refuses what needs a dense gradient."""
        if self.tied:
            raise ConfigurationError("sparse_embedding needs weights of its own, apart from the decoder's: --no-tied")
        if self.optimizer != "sgd" or self.weight_decay:
            raise ConfigurationError("sparse_embedding is for --optimizer sgd without weight decay")
        if self.feedback != "none" or self.mixing != NONE or any(self.local_rules.values()):
            raise ConfigurationError(
                "sparse_embedding is for averages of gradients without feedback, local momentum or local clipping"
            )
