"""Declarations of settings: everything that is known of a setting stands at its field, once.

The command line, its help, checks, presets, ``--show-config``, config.json, sweeps, reports and the documentation
all read the declarations.
"""

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Callable, Collection
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from compressors import parameters, registry
from compressors.named import Named
from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError, configuration_errors

IN_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class Role(Enum):
    """Meaning of a setting in comparisons of runs that differ in it."""

    OUTCOME = "outcome"
    """The setting decides what is trained: runs that differ in it are hard to compare."""
    STUDIED = "studied"
    """Comparisons of runs are about it: compression and optimizers."""
    NEUTRAL = "neutral"
    """It changes no update and no score."""


class Interval(NamedTuple):
    """The numbers that a setting can have."""

    low: float
    high: float
    includes_low: bool
    includes_high: bool

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Reads ``[0, 1)``, ``(0, inf)`` and the like; a round bracket excludes its end."""
        low, high = text[1:-1].split(",")
        return cls(float(low), float(high), text[0] == "[", text[-1] == "]")

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int | float)
        above = self.low <= number if self.includes_low else self.low < number
        return above and (number <= self.high if self.includes_high else number < self.high)

    def __str__(self) -> str:
        """Returns the interval in words that follow "must be"."""
        if (self.low, self.includes_low, self.high) == (0, False, math.inf):
            return "positive"
        low = f"{'at least' if self.includes_low else 'above'} {self.low:g}"
        if self.high == math.inf:
            return low
        if self.includes_low and self.includes_high:
            return f"from {self.low:g} to {self.high:g}"
        return f"{low} and {'at most' if self.includes_high else 'below'} {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Declaration:
    """Properties of a setting besides its name, type and default, which are its field's."""

    help: str
    section: str
    """Heading of the command's help under which the option stands."""
    limits: Interval | None = None
    names: Collection[str] | Callable[[], Collection[str]] | None = None
    """The names it can have, or a function that returns those there are by now."""
    may_change: bool = False
    """A resumed run may change it, because it changes no update."""
    role: Role = Role.OUTCOME
    per_host: bool = False
    """Hosts may differ in it, as in the place of their files."""
    environment: str | None = None
    """A variable of the environment that sets it."""
    otherwise: str | None = None
    """Text in place of a default that the program computes."""
    replaces: tuple[str, ...] = ()
    """Settings that it takes the place of, where a preset or the like gives them."""
    registry: Named[Any] | None = None
    """Where its names are looked up, some of which plugins may have added."""

    @property
    def choices(self) -> Collection[str] | None:
        """The names that the setting can have; None: any value within the limits."""
        return self.names() if callable(self.names) else self.names


KEY = "setting"


def setting(
    default: Any,
    help: str,
    section: str,
    *,
    limits: str | None = None,
    choices: Collection[str] | Callable[[], Collection[str]] | None = None,
    may_change: bool = False,
    role: Role | None = None,
    per_host: bool = False,
    environment: str | None = None,
    otherwise: str | None = None,
    replaces: tuple[str, ...] = (),
    registry: Named[Any] | None = None,
) -> Any:
    """Makes a dataclass field with its declaration; see ``Declaration``.

    Args:
        default: the value where none is given.
        help: a sentence for the command line and the documentation; choices are added to it.
        section: heading in the help.
        limits: an interval such as ``[0, 1)``.
        choices: the names it can have, or a function that returns them.
        may_change: whether a resumed run may change it.
        role: neutral by default where the setting may change, else it decides the outcome.
        per_host: whether hosts may differ in it.
        environment: a variable that sets it.
        otherwise: words for a default that the program works out.
        replaces: settings that it takes the place of.
        registry: where its names are looked up, unless that is ``choices``.
    """
    declaration = Declaration(
        help,
        section,
        Interval.parse(limits) if limits else None,
        choices,
        may_change,
        role or (Role.NEUTRAL if may_change else Role.OUTCOME),
        per_host,
        environment,
        otherwise,
        replaces,
        registry or (choices if isinstance(choices, Named) else None),
    )
    return dataclasses.field(default=default, metadata={KEY: declaration})


def redeclared(config: type, name: str, default: Any, **changes: Any) -> Any:
    """Makes the setting ``name`` of ``config`` anew with another default, for a derived class.

    Args:
        config: the class that declares it.
        name: of the setting.
        default: in place of its own.
        changes: to its ``Declaration``.
    """
    (found,) = (field for field in dataclasses.fields(config) if field.name == name)
    return dataclasses.field(default=default, metadata={KEY: dataclasses.replace(found.metadata[KEY], **changes)})


@dataclasses.dataclass(frozen=True)
class Declared:
    """A setting of a configuration, or a parameter of compressors, with its type and default."""

    name: str
    kind: type
    default: Any
    declaration: Declaration
    shown_default: str | None = None
    """How help writes the default, where it is not the value itself."""

    def converted(self, value: Any) -> Any:
        """Returns the value with the setting's type.

        Raises:
            ConfigurationError: it is of another type.
        """
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(f"{self.name} must be a finite number, not {value}")
        if type(value) is self.kind:
            return value
        if self.kind is float and type(value) is int and abs(value) <= sys.maxsize:
            return value if self.name in compressor_parameters() else float(value)  # compressors tell them apart
        raise ConfigurationError(f"{self.name} must be {IN_WORDS[self.kind]}, not {shown(value)}")

    def check(self, value: Any) -> None:
        """Raises ConfigurationError, in one sentence, if the setting cannot have this value."""
        declaration = self.declaration
        if value is None:
            return
        if isinstance(value, int) and abs(value) > sys.maxsize:  # tensors and files hold 64 bits
            raise ConfigurationError(f"{self.name} must be at most {sys.maxsize} in size")
        if declaration.choices is not None and value not in declaration.choices:
            raise ConfigurationError(unknown(self.name.replace("_", " "), value, declaration.choices))
        if declaration.limits is not None and value not in declaration.limits:
            raise ConfigurationError(f"{self.name} must be {declaration.limits}, not {value}")


def declared(config: type) -> dict[str, Declared]:
    """Returns the settings of a configuration class by name, without parameters of compressors."""
    return _declared(config)


@cache
def _declared(config: Any) -> dict[str, Declared]:
    kinds = typing.get_type_hints(config)
    return {
        field.name: Declared(
            field.name, _only(kinds[field.name]), field.default, field.metadata[KEY], field.metadata[KEY].otherwise
        )
        for field in dataclasses.fields(config)
        if KEY in field.metadata
    }


def compressor_parameters() -> dict[str, Declared]:
    """Returns the parameters of all compressors by name, as their fields declare them.

    Raises:
        ConfigurationError: a compressor of a plugin cannot be imported.
    """
    with configuration_errors():
        return _compressor_parameters(tuple(registry.COMPRESSORS))


@cache
def _compressor_parameters(_: tuple[str, ...]) -> dict[str, Declared]:
    """Returns the parameters of the compressors that there are by now."""
    found = {}
    for name, owners in registry.compressor_parameters().items():
        summary = owners[0][1].metadata["help"]
        defaults = {str(field.default) for _, field in owners}
        found[name] = Declared(
            name,
            registry.kind(owners),
            None,
            Declaration(f"{summary} {_users(owners)}", "Compression", role=Role.STUDIED),
            defaults.pop() if len(defaults) == 1 else None,
        )
    return found


def _users(owners: list[registry.Owner]) -> str:
    """Says which values a parameter can have, with which compressors; and its default, where they differ in it."""
    differ = len({field.default for _, field in owners}) > 1
    alike: dict[str, list[str]] = {}
    for owner, field in owners:
        values = parameters.values(field)
        default = f" (default {field.default})" if differ and values != str(field.default) else ""
        alike.setdefault(values + default, []).append(owner)
    said = "; ".join(f"{values} for {', '.join(users)}".strip() for values, users in alike.items())
    return f"{said[0].upper()}{said[1:]}."


def known(config: type) -> dict[str, Declared]:
    """Returns the settings of a configuration and the parameters of compressors."""
    return declared(config) | compressor_parameters()


def _only(hint: Any) -> type:
    """Returns the type of a setting that may be None."""
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
    return typing.cast("type", hint)
