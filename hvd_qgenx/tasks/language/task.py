"""A language model, as the training room sees it."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from compressors.random import derive, generator
from hvd_qgenx.data import texts
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.data.text import Corpus, Vocabulary
from hvd_qgenx.data.token_streams import TokenStreams, check_length
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.making import leaving_generators
from hvd_qgenx.tasks.language import perplexity
from hvd_qgenx.tasks.language.models.base import LanguageModel, Shape, State
from hvd_qgenx.tasks.language.models.lstm import detached
from hvd_qgenx.tasks.language.models.registry import MODELS
from hvd_qgenx.tasks.language.settings import LanguageConfig
from hvd_qgenx.training.single_model.tally import Tally
from hvd_qgenx.training.single_model.task import BACKWARD, FORWARD, PLAYER, SingleModelTask
from hvd_qgenx.training.trainer import DATA
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.inprocess import InProcess

TEST, VALID = "perplexity", "valid_perplexity"


class LanguageTask(SingleModelTask):
    """A language model, what it remembers of the streams it reads, and its perplexity on a test text."""

    kind = "hvd-qgenx language"
    measures = ("perplexity/train", "lr", "epoch")
    scores = (TEST, VALID)
    selected_by = VALID
    higher_is_better = False
    defining = ("model", "layers", "units", "heads", "tied", "bptt", "tokens")
    kept = {PLAYER: {}, "averages": {}, "text": {"vocabulary": (), "unit": ""}}  # noqa: RUF012
    local_scores = (TEST,)

    def __init__(self, config: LanguageConfig, corpus: Corpus, transport: Transport) -> None:
        self.streams = TokenStreams(
            corpus.parts["train"], config.batch_size, config.bptt, transport.rank, transport.size
        )
        model = self.make_model(config, corpus)
        model.initialize(generator(config.seed, RandomStream.LANGUAGE), config.init_range)
        super().__init__(
            config, corpus, transport, model, samples=self.streams.stretches, at_once=1, tally=Tally("loss")
        )
        self.corpus = corpus
        self.memory: State = None
        """The model's state after the last stretch of this rank's streams."""

    @classmethod
    def load(cls, config: LanguageConfig, transport: Transport, download: bool) -> Corpus:
        return texts.load(
            config.dataset,
            config.data_folder,
            download,
            transport,
            unit=config.tokens,
            least=config.min_count,
            seed=config.seed,
        )

    @classmethod
    def check_data(cls, config: LanguageConfig, data: Corpus, stored: Mapping[str, Any] | None) -> None:
        check_length(len(data.parts["train"]), config.batch_size, config.bptt)
        if stored is None or stored["text"]["fingerprint"] == data.fingerprint:
            return
        before = stored["text"]["vocabulary"]
        other = (
            f"has another vocabulary ({len(data.vocabulary):,} tokens, not {len(before):,})"
            if tuple(before) != data.vocabulary.tokens
            else "has changed"
        )
        raise ConfigurationError(
            f"the text of {config.dataset} in {config.data_dir} {other} since the run was trained on it; "
            "name the folder of the run's text with --data-dir"
        )

    @classmethod
    def make_model(cls, config: LanguageConfig, data: Corpus) -> LanguageModel:
        return make_model(config, len(data.vocabulary))

    @classmethod
    def test_samples(cls, data: Corpus) -> int:
        return len(data.parts["test"]) - 1

    @classmethod
    def score(
        cls, model: Any, config: LanguageConfig, data: Corpus, device: torch.device, transport: Transport
    ) -> dict[str, float]:
        scored = copy.deepcopy(model).eval()
        parts = {TEST: "test", VALID: "valid"}
        return {
            name: perplexity.evaluate(scored, data.parts[part], config.bptt, device, transport)
            for name, part in parts.items()
        }

    @classmethod
    def ideal_scores(cls, data: Corpus) -> dict[str, float]:
        return {} if data.floor is None else {TEST: data.floor}

    def fill_gradients(self, move: int, moving: Sequence[str] = (PLAYER,)) -> None:
        tokens, targets = (part.to(self.device) for part in self.streams(move))
        self.timer.credit(DATA)
        model = cast("LanguageModel", self.model)
        model.masks.generator = self._random(move)
        logits, memory = self._read(tokens, None if self.streams.starts(move) else self.memory)
        self.memory = detached(memory)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        self.timer.credit(FORWARD)
        (self.transport.size / sum(self.streams.counts(move)) * loss).backward()
        self.timer.credit(BACKWARD)
        self.tally.note(targets.numel(), loss=float(loss.detach()))

    def _random(self, move: int) -> torch.Generator:
        """Returns the random numbers of dropout in this move."""
        key = derive(self.config.seed, RandomStream.DROPOUT, self.transport.rank, move)
        return torch.Generator(self.device).manual_seed(key >> 1)

    def _read(self, tokens: Tensor, memory: State) -> tuple[Tensor, State]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits, memory = self.model(tokens, memory)
        return logits.float(), memory

    def measure(self, update: int) -> dict[str, float]:
        loss = self.tally.mean("loss")
        return {"perplexity/train": math.exp(min(loss, 700.0)), **super().measure(update)}

    def evaluate_alone(self) -> dict[str, float]:
        tokens = self.corpus.parts["test"][: self.config.local_tokens + 1 if self.config.local_tokens else None]
        scored = copy.deepcopy(cast("LanguageModel", self.model)).eval()
        return {TEST: perplexity.evaluate(scored, tokens, self.config.bptt, self.device, InProcess())}

    def announce(self) -> str:
        return f"{self.config.dataset}: {self.corpus.describe()}; {self.config.model}, {self.parameters:,} parameters"

    def conclusions(self, summary: Mapping[str, Any]) -> Iterator[str]:
        scores = summary["scores"]
        if scores:
            test, valid = (scores[self.first(name)] for name in self.scores)
            floor = f"; no model is below {self.corpus.floor:.2f}" if self.corpus.floor else ""
            yield (
                f"test perplexity {test:.2f}, validation {valid:.2f} "
                f"(best {self.best[self.first(VALID)]:.2f} after epoch {self.best['epoch']:.4g}){floor}"
            )

    def state_dict(self) -> dict[str, Any]:
        text = {
            "fingerprint": self.corpus.fingerprint,
            "vocabulary": self.corpus.vocabulary.tokens,
            "unit": self.corpus.vocabulary.unit,
        }
        return {**super().state_dict(), "text": text}

    def local_state(self) -> dict[str, Any]:
        """Returns what the model remembers; ranks whose streams have changed begin without."""
        return {**super().local_state(), "memory": self.memory, "streams": self._own_streams}

    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        super().load_state_dict(state, local)
        same = local.get("streams") == self._own_streams
        self.memory = _to(local["memory"], self.device) if same else None

    @property
    def _own_streams(self) -> tuple[int, int]:
        share = self.streams.shares[self.transport.rank]
        return share.start, share.stop


def make_model(config: LanguageConfig, vocabulary: int) -> LanguageModel:
    """Returns the model of a configuration for a number of tokens, with uninitialized weights."""
    shape = Shape(
        vocabulary=vocabulary,
        layers=config.layers,
        units=config.units,
        heads=config.heads,
        length=config.bptt,
        dropout=config.dropout,
        tied=config.tied,
        sparse=config.sparse_embedding,
    )
    with leaving_generators():
        return MODELS[config.model](shape)


def saved_vocabulary(text: Mapping[str, Any]) -> Vocabulary:
    """Returns the vocabulary that a checkpoint keeps."""
    return Vocabulary(tuple(text["vocabulary"]), text["unit"])


def _to(memory: State, device: torch.device) -> State:
    return memory and [tuple(part.to(device) for part in layer) for layer in memory]
