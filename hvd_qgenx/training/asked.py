"""Settings given by presets, environment and command line, each with its origin; the configuration they make."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import compressors
from compressors import parameters
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.settings import compressor_parameters, declared, known
from hvd_qgenx.transport.environment import DATA

C = TypeVar("C", bound=Config)

DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from."""

    value: Any
    origin: str


Settings = dict[str, Setting]


def read(config: type[Config], values: Mapping[str, Any], origin: str) -> Settings:
    """Settings by name, as they stand in a file.

    Raises:
        ConfigurationError: the task has no setting of a name, or a value is of another type or outside its limits.
    """
    settings = known(config)
    for name in values:
        if name not in settings:
            raise ConfigurationError(config.unknown_setting(name))
    found = {name: settings[name].converted(value) for name, value in values.items()}
    for name, value in found.items():
        settings[name].check(value)
    return {name: Setting(value, origin) for name, value in found.items()}


def merge(config: type[Config], layers: Iterable[Settings]) -> Settings:
    """Merges layers of settings; of those with the same name the last wins.

    Where a layer names a compressor, parameters from layers before it that this compressor has not are left out;
    so are settings that one in the layer takes the place of.

    Raises:
        ConfigurationError: there is no such compressor.
    """
    merged: Settings = {}
    settings = declared(config)
    for layer in layers:
        replaced = {old for name in layer if name in settings for old in settings[name].declaration.replaces}
        merged = {name: each for name, each in merged.items() if name not in replaced}
        if "compressor" in layer:
            dropped = compressor_parameters().keys() - set(_parameters_of(layer["compressor"].value))
            merged = {name: each for name, each in merged.items() if name not in dropped}
        merged |= layer
    return merged


def _parameters_of(compressor: str) -> list[str]:
    try:
        return parameters.names(compressors.get(compressor))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def values(settings: Settings) -> dict[str, Any]:
    """Returns the values alone, by name, with an available device in place of ``auto``.

    Raises:
        ConfigurationError: there is no such kind of device.
    """
    found = {name: each.value for name, each in settings.items()}
    if "device" in found:
        declared(Config)["device"].check(found["device"])
        found["device"] = _resolved(found["device"])
    return found


def _resolved(device: str) -> str:
    if device != "auto":
        return device
    import torch  # which help and checks do without

    return "cuda" if torch.cuda.is_available() else "cpu"


def configure(config: type[C], settings: Settings) -> C:
    """Returns the complete configuration with these settings, not yet checked.

    Raises:
        ConfigurationError: there is no such optimizer, compressor or device, or the compressor has no such
            parameters.
    """
    asked = values({"device": Setting("auto", DEFAULT), **settings})
    own = {name: asked.pop(name) for name in compressor_parameters() if name in asked}
    return config(**asked, compressor_parameters=own).completed()


def changed(config: C, asked: Mapping[str, Any]) -> C:
    """Returns the configuration with these settings replaced, checked for one rank.

    The environment names the data folder of a run whose own is not on this host.

    Raises:
        ConfigurationError: the task has no such setting, or it cannot have this value.
    """
    found = config.replaced(values(read(type(config), {**_elsewhere(config), **asked}, "command line")))
    found.check(ranks=1)
    return found


def _elsewhere(config: Config) -> dict[str, str]:
    """Returns the environment's data folder, if the run's own is not there."""
    own, folder = getattr(config, "data_dir", None), os.environ.get(DATA)
    return {"data_dir": folder} if folder and own and not Path(own).expanduser().is_dir() else {}


def explain(config: Config, asked: Settings, otherwise: str | None = None) -> Settings:
    """Returns every value of a configuration with its origin.

    Args:
        config: what became of ``asked``.
        asked: settings with their origins.
        otherwise: the origin of all others, unless they are defaults.
    """
    worked_out = {name: each.shown_default for name, each in declared(type(config)).items() if each.default is None}
    return {
        name: Setting(value, asked[name].origin if name in asked else otherwise or worked_out.get(name) or DEFAULT)
        for name, value in config.flat().items()
    }
