"""Settings of a run by name, each with where it comes from.

A setting is a field of ``GanConfig``, or a parameter of a compressor.
"""

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

import compressors
from compressors import parameters
from compressors.naming import unknown
from compressors.registry import compressor_parameters, kind
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.settings import GanConfig

DEFAULT = "default"
OWN = "the optimizer's own"
DEVICES = ("auto", "cpu", "cuda")

IN_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _kinds() -> dict[str, type]:
    found = {}
    for name, hint in typing.get_type_hints(GanConfig).items():
        if isinstance(hint, types.UnionType):
            (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
        found[name] = hint
    del found["compressor_parameters"]
    return found


FIELDS = _kinds()
"""Fields of ``GanConfig`` but for the parameters of the compressor, with their types."""
PARAMETERS = {name: kind(owners) for name, owners in compressor_parameters().items()}
"""Parameters of all compressors, with their types."""


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from."""

    value: Any
    origin: str


Settings = dict[str, Setting]


def read(values: Mapping[str, Any], origin: str) -> Settings:
    """Settings by name, as they stand in a file.

    Raises:
        ConfigurationError: there is no setting of a name, or a value is of another type.
    """
    return {name: Setting(_typed(name, value), origin) for name, value in values.items()}


def _typed(name: str, value: Any) -> Any:
    known = FIELDS | PARAMETERS
    if name not in known:
        raise ConfigurationError(unknown("setting", name, known))
    wanted, given = known[name], type(value)
    if given is wanted:
        return value
    if wanted is float and given is int:
        return float(value) if name in FIELDS else value  # a compressor tells whole numbers from others itself
    raise ConfigurationError(f"{name} must be {IN_WORDS[wanted]}, not {value!r}")


def merge(layers: Iterable[Settings]) -> Settings:
    """All settings, of those of the same name the last.

    Where a layer names a compressor, parameters from layers before it that this compressor has not are left out.

    Raises:
        ConfigurationError: there is no such compressor.
    """
    merged: Settings = {}
    for layer in layers:
        if "compressor" in layer:
            taken = _parameters_of(layer["compressor"].value)
            merged = {name: each for name, each in merged.items() if name not in PARAMETERS or name in taken}
        merged |= layer
    return merged


def _parameters_of(compressor: str) -> list[str]:
    try:
        return parameters.names(compressors.get(compressor))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def values(settings: Settings) -> dict[str, Any]:
    """The values alone, by name; for ``device`` auto, the device that there is.

    Raises:
        ConfigurationError: there is no such kind of device.
    """
    found = {name: each.value for name, each in settings.items()}
    if "device" in found:
        if found["device"] not in DEVICES:
            raise ConfigurationError(unknown("device", found["device"], DEVICES))
        if found["device"] == "auto":
            found["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    return found


def configure(settings: Settings) -> GanConfig:
    """The whole configuration that these settings ask for, yet to be checked.

    Raises:
        ConfigurationError: there is no such optimizer, compressor or device, or the compressor has no such
            parameters.
    """
    asked = values({"device": Setting("auto", DEFAULT), **settings})
    own = {name: asked.pop(name) for name in PARAMETERS if name in asked}
    return GanConfig(**asked, compressor_parameters=own).completed()


def explain(config: GanConfig, asked: Settings, otherwise: str | None = None) -> Settings:
    """Every value of a configuration, with where it comes from.

    Args:
        config: what became of ``asked``.
        asked: settings with their origins.
        otherwise: the origin of all others, unless they are defaults.
    """
    flat: dict[str, Any] = {}
    for name, value in config.as_dict().items():
        flat.update(value if name == "compressor_parameters" else {name: value})
    origins = dict.fromkeys(("generator_lr", "discriminator_lr"), OWN)
    return {
        name: Setting(value, asked[name].origin if name in asked else otherwise or origins.get(name, DEFAULT))
        for name, value in flat.items()
    }
