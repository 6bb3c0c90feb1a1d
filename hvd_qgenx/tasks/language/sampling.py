"""Text that continues a prompt as a saved language model has it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.data.text import END, Vocabulary
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.language.models.base import LanguageModel
from hvd_qgenx.tasks.language.settings import TRANSFORMER, LanguageConfig
from hvd_qgenx.tasks.language.task import LanguageTask, make_model, saved_vocabulary
from hvd_qgenx.tasks.sampling import completed
from hvd_qgenx.training.single_model.saved import SavedModel


def sample(run: Path, asked: Mapping[str, Any]) -> str:
    """Returns a prompt and what follows it; see ``hvd_qgenx.tasks.sampling``."""
    options = completed("language", asked, weights="raw", seed=None, prompt="", tokens=100, temperature=1.0)
    saved = SavedModel.read(run, LanguageTask, LanguageConfig)
    vocabulary = saved_vocabulary(saved.state["text"])
    prompt = vocabulary.encode(options["prompt"]) or _beginning(vocabulary)
    model = saved.weighted(lambda: make_model(saved.config, len(vocabulary)), options["weights"])
    window = saved.config.bptt if saved.config.model == TRANSFORMER else None
    seed = saved.config.seed if options["seed"] is None else options["seed"]
    found = continued(model.eval(), prompt, options["tokens"], options["temperature"], seed, window)
    shown = found if options["prompt"] else found[len(prompt) :]
    return vocabulary.decode(shown)


def _beginning(vocabulary: Vocabulary) -> list[int]:
    """Returns what is read where there is no prompt: the end of a line, if there is such a token.

    Raises:
        ConfigurationError: there is none.
    """
    for token in (END, "\n"):
        if token in vocabulary.numbers:
            return [vocabulary.numbers[token]]
    raise ConfigurationError(f"the text has no lines to begin; give a --prompt, like {vocabulary.tokens[0]!r}")


@torch.inference_mode()
def continued(
    model: LanguageModel, prompt: Sequence[int], count: int, temperature: float, seed: int, window: int | None
) -> list[int]:
    """Returns the tokens of a prompt and ``count`` more.

    Args:
        model: in evaluation mode, on the CPU.
        prompt: at least one token.
        count: tokens to add.
        temperature: logits are divided by it before one token is drawn; 0 takes the likeliest.
        seed: decides what is drawn.
        window: last tokens that a model without a state reads; None: it has one.
    """
    random = generator(seed, RandomStream.CONTINUATION)
    tokens, state, unread = list(prompt), None, list(prompt)
    for _ in range(count):
        logits, state = model(torch.tensor([unread]), state)
        last = logits[0, -1].double()
        if temperature:
            new = int(torch.multinomial(torch.softmax(last / temperature, 0), 1, generator=random))
        else:
            new = int(last.argmax())
        tokens.append(new)
        unread = [new] if window is None else tokens[-window:]
    return tokens
