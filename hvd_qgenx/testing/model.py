"""The contract of models: of GANs, classifiers, language models and autoencoders."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from compressors.naming import unknown
from compressors.random import generator
from hvd_qgenx.generators import borrowed
from hvd_qgenx.tasks.classify.models import architecture as classifier
from hvd_qgenx.tasks.classify.models import build as classifiers
from hvd_qgenx.tasks.gan.models import build as players
from hvd_qgenx.tasks.language.models.base import Shape as LanguageShape
from hvd_qgenx.tasks.vae.models import architecture as autoencoder
from hvd_qgenx.tasks.vae.models import build as autoencoders
from hvd_qgenx.testing.requirement import require

BATCH = 4
TASKS = ("gan", "classify", "language", "vae")


class Case(NamedTuple):
    """A network that is to be checked."""

    what: str
    make: Callable[[], nn.Module]
    initialize: Callable[[nn.Module, int], Any]
    """Sets the first weights, as a function of the number."""
    inputs: tuple[Tensor, ...]
    shape: tuple[int, ...]
    """Of the output."""


def check_model(task: str, model: Any, side: int = 32) -> None:
    """Checks the contract of a model, at small widths.

    Its outputs have the right shape, float32 and finite; all first weights and buffers are a function of the run's
    seed, as ranks that start alike need; every parameter gets a gradient; one input has one output.

    Args:
        task: the task that it is for: gan, classify, language or vae.
        model: the entry of the task's registry.
        side: of the images.

    Raises:
        AssertionError: it breaks its contract.
        ValueError: there is no such task.
    """
    if task not in TASKS:
        raise ValueError(unknown("task", task, TASKS))
    cases = {"gan": _gan, "classify": _classify, "language": _language, "vae": _vae}
    for case in cases[task](model, side):
        _check(case)


def _check(case: Case) -> None:
    models = []
    for seed in (1, 2):
        with borrowed():
            torch.manual_seed(seed)  # of whatever making a layer draws
            made = case.make()
        case.initialize(made, 7)
        models.append(made)
    for name, value in models[0].state_dict().items():
        same = torch.equal(value, models[1].state_dict()[name])
        require(same, f"{case.what}: the first value of {name} is not a function of the seed of the run")
    model = models[0]
    other = copy.deepcopy(model)
    case.initialize(other, 8)
    differs = any(not torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    require(differs, f"{case.what}: another seed gives the same first weights")
    output = _output(model, case)
    require(output.dtype == torch.float32, f"{case.what}: the output is {output.dtype}, not float32")
    found = tuple(output.shape)
    require(found == case.shape, f"{case.what}: the output has shape {found}, not {case.shape}")
    require(torch.isfinite(output).all(), f"{case.what}: the output has Inf or NaN")
    weights = torch.randn(output.shape, generator=generator(5))
    (output * weights).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        require(gradient is not None, f"{case.what}: {name} gets no gradient")
        require(gradient is None or torch.isfinite(gradient).all(), f"{case.what}: {name} gets Inf or NaN as gradient")
    model.eval()
    with torch.no_grad():
        first, second = _output(model, case), _output(model, case)
    require(torch.equal(first, second), f"{case.what}: one input has two outputs, even in evaluation")


def _output(model: nn.Module, case: Case) -> Tensor:
    found = model(*case.inputs)
    output: Tensor = found[0] if isinstance(found, tuple) else found  # a language model has a state, too
    return output


def _gan(model: Any, side: int) -> Iterator[Case]:
    images, latents = torch.rand(BATCH, 3, side, side, generator=generator(3)), _normal(BATCH, 8)
    for norm in ("layer", "none"):
        for classes in (0, 10):
            labels = torch.arange(BATCH) if classes else None
            what = f"with norm {norm} and {classes} classes"
            yield Case(
                f"generator {what}",
                lambda norm=norm, classes=classes: model.Generator(3, side, 8, 8, norm, classes),  # type: ignore[misc]
                players.initialize,
                (latents, labels) if labels is not None else (latents,),
                (BATCH, 3, side, side),
            )
            yield Case(
                f"discriminator {what}",
                lambda norm=norm, classes=classes: model.Discriminator(3, side, 8, norm, classes),  # type: ignore[misc]
                players.initialize,
                (images, labels) if labels is not None else (images,),
                (BATCH,),
            )


def _classify(model: Any, side: int) -> Iterator[Case]:
    images = _normal(BATCH, 3, side, side)
    for norm in model.norms or ("",):
        yield Case(
            f"classifier with norm {norm}" if norm else "classifier",
            lambda norm=norm: model.build(classifier.Shape(3, side, 10), norm),  # type: ignore[misc]
            classifiers.initialize,
            (images,),
            (BATCH, 10),
        )


def _initialize_language(model: Any, seed: int) -> None:
    model.initialize(generator(seed), 0.1)


def _language(model: Any, _: int) -> Iterator[Case]:
    for tied in (True, False):
        shape = LanguageShape(20, layers=1, units=8, heads=2, length=12, dropout=0.0, tied=tied, sparse=False)
        yield Case(
            f"language model with tied={tied}",
            lambda shape=shape: model(shape),  # type: ignore[misc]
            _initialize_language,
            (torch.randint(20, (BATCH, 12), generator=generator(3)),),
            (BATCH, 12, 20),
        )


def _vae(model: Any, side: int) -> Iterator[Case]:
    shape = autoencoder.Shape(3, side, 8, 6)
    parts = (
        ("encoder", model.encoder, _normal(BATCH, 3, side, side), (BATCH, 12)),
        ("decoder", model.decoder, _normal(BATCH, 6), (BATCH, 3, side, side)),
    )
    for name, make, inputs, output in parts:
        yield Case(name, lambda make=make: make(shape), autoencoders.initialize, (inputs,), output)  # type: ignore[misc]


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(4))
