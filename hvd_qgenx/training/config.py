"""The settings that every task has, and their checks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf, isfinite
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args, get_origin, get_type_hints

import compressors
from compressors import parameters
from compressors.coding import CODES
from compressors.named import Named
from compressors.naming import shown, unknown
from compressors.plugins import Plugin
from compressors.random import derive
from compressors.registry import COMPRESSORS
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.registry import METHODS, Method
from hvd_qgenx.registry import Registry
from hvd_qgenx.training.schedule import Schedule, milestones
from hvd_qgenx.training.settings import Role, declared, known, setting

if TYPE_CHECKING:
    from torch import nn

    from compressors import Exempt

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")
CODINGS = ("none", *CODES)
FEEDBACKS = ("none", "error", "shift")
LAYER_BITS = ("equal", "global", "per-layer")
WEIGHTS = ("raw", "ema", "uniform", "ergodic")
"""The weights that a model can be evaluated with: the last ones, or an average (``averages.Averages``)."""

TRAINING, COMPRESSION, MACHINE, RUN = "Training", "Compression", "Machine", "The run"
STUDIED, NEUTRAL = Role.STUDIED, Role.NEUTRAL


@dataclass(frozen=True)
class Config:
    """One run. Two runs with equal configurations give the same parameters, bit for bit.

    A task derives a class of its own, and adds its settings.
    """

    task: ClassVar[str]
    """The name of the task, and of its command."""
    implementation: ClassVar[str]
    """The task's class, a ``Task``, as ``module:class``: see ``task.task_of``."""
    evaluation: ClassVar[str]
    """Function that scores saved runs: ``module:function``, see ``hvd_qgenx.tasks.evaluation``."""
    sampling: ClassVar[str | None] = None
    """Function that draws samples from a saved run: ``module:function``, see ``hvd_qgenx.tasks.sampling``."""
    sections: ClassVar[tuple[str, ...]]
    """Headings of the command's help, in order."""
    tasks: "ClassVar[Registry[type[Config]]]" = Registry("task")  # noqa: RUF009 (a class variable)
    """The configurations of all tasks by name, to say which one has a setting."""

    batch_size: int = setting(96, "Samples in a batch, over all ranks together.", TRAINING)
    updates: int | None = setting(
        1500, "Updates of the parameters.", TRAINING, limits="(0, inf)", may_change=True, role=Role.OUTCOME
    )
    seed: int = setting(0, "Decides everything random.", TRAINING, role=NEUTRAL)
    optimizer: str = setting(
        "extra-adam",
        "extra-... and qgenx-de make two exchanges an update.",
        TRAINING,
        choices=METHODS,
        role=STUDIED,
    )
    beta1: float = setting(0.9, "Decay of Adam's first moment.", TRAINING, limits="[0, 1)", role=STUDIED)
    beta2: float = setting(0.999, "Decay of Adam's second moment.", TRAINING, limits="[0, 1)", role=STUDIED)
    amsgrad: bool = setting(False, "Adam divides by the largest second moment so far.", TRAINING, role=STUDIED)
    epsilon_place: str = setting(
        "after",
        "Adam's epsilon is added after the bias correction, as in torch, or before it, as in the code of Gidel et al.",
        TRAINING,
        choices=("after", "before"),
        role=STUDIED,
    )
    momentum: float = setting(0.0, "Momentum of SGD and its variants.", TRAINING, limits="[0, 1)", role=STUDIED)
    nesterov: bool = setting(False, "Nesterov's momentum for SGD; needs a momentum.", TRAINING, role=STUDIED)
    delta: float = setting(
        300.0,
        "Q-GenX's step begins at ranks / sqrt(delta). The paper has 1, which lets the first gradients of deep networks "
        "take it far off.",
        TRAINING,
        limits="(0, inf)",
        role=STUDIED,
    )
    compressor: str = setting("minmax", "Compressor of the gradients.", COMPRESSION, choices=COMPRESSORS, role=STUDIED)
    compressor_parameters: dict[str, Any] = field(default_factory=dict)
    coding: str = setting(
        "none", "Entropy code of the compressor's symbols.", COMPRESSION, choices=CODINGS, role=STUDIED
    )
    levels_at: str = setting(
        "0,200,1000,5000",
        "Updates before which levels adapt, where the compressor has such; by default those of Q-GenX's experiments.",
        COMPRESSION,
        role=STUDIED,
    )
    levels_every: int = setting(
        10000,
        "Levels adapt at every multiple of this too, after the last of --levels-at; 0: never.",
        COMPRESSION,
        limits="[0, inf)",
        role=STUDIED,
    )
    levels_by: str = setting(
        "global",
        "Tensors that share adaptive levels: global, all; kind, all of one kind of layer of a model; tensor, each its "
        "own; or those of one of your groups, NAME=PATTERN,... with patterns of names such as *.weight, of which the "
        "first that fits counts.",
        COMPRESSION,
        role=STUDIED,
    )
    layer_bits: str = setting(
        "equal",
        "Bits of the groups of --levels-by: equal, all have --bits; or shared out at every level update, --bits on "
        "average, so that the error of the gradient is least (global), or the sum over groups of relative errors "
        "(per-layer).",
        COMPRESSION,
        choices=LAYER_BITS,
        role=STUDIED,
    )
    compress_from: int = setting(
        256,
        "Send tensors with fewer elements, and all with one dimension, uncompressed.",
        COMPRESSION,
        limits="[0, inf)",
        role=STUDIED,
    )
    exchange: str = setting(
        "auto", "auto chooses by the number of ranks and hosts.", COMPRESSION, choices=exchanges.NAMES, role=STUDIED
    )
    feedback: str = setting(
        "none",
        "error adds to the next gradient what compression took from this one; shift sends differences to what all "
        "ranks know (DIANA).",
        COMPRESSION,
        choices=FEEDBACKS,
        role=STUDIED,
    )
    shift_rate: float = setting(
        1.0,
        "Rate of --feedback shift; at most 1 / (1 + w) for a compressor of relative variance w, 1 for integers.",
        COMPRESSION,
        limits="(0, 1]",
        role=STUDIED,
    )
    device: str = setting(
        "cpu", "Where to compute; auto takes a GPU if there is one.", MACHINE, choices=DEVICES, otherwise="auto"
    )
    precision: str = setting(
        "fp32", "Precision of the models; parameters and what is exchanged stay fp32.", MACHINE, choices=PRECISIONS
    )
    log_every: int = setting(10, "Updates between two rows of metrics.", RUN, limits="(0, inf)", may_change=True)
    checkpoint_every: float = setting(
        100.0,
        "Updates between two checkpoints; x.5 falls between the half-steps of extra-gradient.",
        RUN,
        limits="(0, 1e15]",
        may_change=True,
    )
    gradients_at: str = setting(
        "", "Updates whose gradients every rank saves before compression, like 10,100.", RUN, may_change=True
    )

    def __post_init__(self) -> None:
        """Checks types: a config.json may hold anything."""
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(kind) is ClassVar:
                continue
            if type(value) not in _allowed(kind) or (isinstance(value, float) and not isfinite(value)):
                raise ConfigurationError(f"{name} cannot be {shown(value)}")

    @classmethod
    def unknown_setting(cls, name: str) -> str:
        """Returns the error text for an unknown setting, with the tasks that have it, or the nearest name."""
        owners = [task for task, config in cls.tasks.items() if name in declared(config)]
        if owners:
            return f"{cls.task} has no setting {name!r}; it is one of {', '.join(owners)}"
        return unknown("setting", name, known(cls))

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Self:
        """Returns the configuration of a config.json; settings that it does not have yet take their defaults.

        Raises:
            ConfigurationError: the file is not one of this task.
        """
        names = {each.name for each in fields(cls)}
        try:
            return cls(**{name: value for name, value in stored.items() if name in names})
        except TypeError as error:
            raise ConfigurationError(f"the run's config.json is not one of this version ({error})") from error

    def check(self, ranks: int) -> None:
        """Raises ConfigurationError, in one sentence, if this cannot be trained on this number of ranks."""
        if self.batch_size < ranks:
            raise ConfigurationError(f"a batch of {self.batch_size} cannot be split over {ranks} ranks")
        self.check_values()
        self._check_device()
        self._check_optimizer()
        self._check_levels()
        moves = self.checkpoint_every * self.moves_per_update
        if not 1 <= moves < inf or moves != int(moves):
            raise ConfigurationError(
                f"checkpoint_every must be a positive multiple of 1/{self.moves_per_update} update, "
                f"not {self.checkpoint_every}"
            )
        exchanges.get(self.exchange).check(self.make_compressor().inner)

    def check_values(self) -> None:
        """Raises ConfigurationError, in one sentence, if a setting is none of its choices, or outside its limits."""
        for name, each in declared(type(self)).items():
            each.check(getattr(self, name))

    def _check_device(self) -> None:
        if self.device == "cuda":
            import torch  # which help and checks do without

            if not torch.cuda.is_available():
                raise ConfigurationError("there is no CUDA device; use --device cpu or auto")

    def _check_optimizer(self) -> None:
        takes = [name for name in self.method.settings if name in declared(type(self))]
        for name, each in declared(type(self)).items():
            owned = any(name in method.settings for method in METHODS.values())
            if owned and name not in takes and getattr(self, name) != each.default:
                raise ConfigurationError(f"{self.optimizer} has no {name}; it takes {', '.join(takes)}")
        if self.nesterov and not self.momentum:
            raise ConfigurationError("nesterov needs a momentum; give --momentum 0.9")

    @property
    def groups_levels(self) -> bool:
        """Have groups of tensors levels of their own?"""
        return self.levels_by != "global"

    def _check_levels(self) -> None:
        if self.layer_bits != "equal" and not self.groups_levels:
            raise ConfigurationError(f"layer_bits {self.layer_bits!r} needs groups of tensors; give --levels-by kind")
        milestones(self.gradients_at, "gradients_at")
        settings = declared(type(self))
        changed = self.level_schedule != Schedule(
            milestones(settings["levels_at"].default, "levels_at"), settings["levels_every"].default
        )
        if changed and self.make_compressor().learner is None:
            learners = (n for n in compressors.names() if issubclass(compressors.get(n), compressors.Learner))
            learn = ", ".join(learners)
            raise ConfigurationError(f"{self.compressor} has no levels to adapt; compressors that have: {learn}")

    @property
    def method(self) -> Method:
        """The optimizer's entry in ``METHODS``."""
        return METHODS[self.optimizer]

    @property
    def optimizer_settings(self) -> dict[str, Any]:
        """The settings that the optimizer takes, beside its step sizes."""
        return {name: getattr(self, name) for name in self.method.settings if name in declared(type(self))}

    @property
    def local_rules(self) -> dict[str, Any]:
        """Arguments of ``DistributedOptimizer`` for what happens to a rank's own gradient before it is exchanged."""
        return {}

    @property
    def level_schedule(self) -> Schedule:
        """When the levels of a compressor adapt."""
        return Schedule(milestones(self.levels_at, "levels_at"), self.levels_every)

    @property
    def length(self) -> tuple[str, float]:
        """The unit in which the run's length was given, ``update`` or ``epoch``, and how many."""
        assert self.updates is not None
        return "update", self.updates

    @property
    def moves_per_update(self) -> int:
        """Moves in an update, each with gradients and an exchange of its own: two for extra-gradient."""
        return self.method.moves

    def updates_after(self, moves: int) -> float:
        """Returns the number of updates in this number of moves; a whole one is an int."""
        whole, rest = divmod(moves, self.moves_per_update)
        return whole + rest / self.moves_per_update if rest else whole

    def make_compressor(self, stream: int = 0, players: "Mapping[str, nn.Module] | None" = None) -> "Exempt":
        """Returns the compressor before it is bound to a rank.

        Args:
            stream: selects other random bits.
            players: all models, by the players that optimizers know them by, or "", for the groups of ``levels_by``;
                without them the shape decides.

        Raises:
            ConfigurationError: there is no such compressor, or it cannot have these parameters, or no such groups.
        """
        seed = derive(self.seed, stream) >> 1 if stream else self.seed
        groups = self._level_groups(players)
        try:
            inner = compressors.make(self.compressor, seed=seed, **self.compressor_parameters)
            if self.coding != "none":
                inner = compressors.with_coding(inner, self.coding)
            if self.groups_levels:
                inner = compressors.LayerWise(inner, groups, self.layer_bits)
            return compressors.Exempt(inner, min_numel=self.compress_from)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def _level_groups(self, players: "Mapping[str, nn.Module] | None") -> dict[str, str] | None:
        if not self.groups_levels:
            return None
        from hvd_qgenx.optim import layers  # which help and checks do without

        layers.check_rule(self.levels_by)
        return layers.groups(self.levels_by, layers.of_players(players)) if players else None

    def completed(self) -> Self:
        """Returns the configuration with every parameter of the compressor and every computed default spelled out.

        Raises:
            ConfigurationError: there is no such optimizer or compressor.
        """
        declared(type(self))["optimizer"].check(self.optimizer)
        try:
            inner = compressors.make(self.compressor, **self.compressor_parameters)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        spelled_out = {name: getattr(inner, name) for name in parameters.names(type(inner))}
        return replace(self, compressor_parameters=spelled_out)

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        """Returns the configuration with these settings changed, as for a resumed run.

        Raises:
            ConfigurationError: the run could not go on so.
        """
        return replace(self, **changes)

    def origins(self) -> list[Plugin | None]:
        """Returns the plugins that the task, and the parts that settings name, come from; None: from none."""
        named: list[tuple[Named[Any], str | None]] = [(self.tasks, self.task)]
        for name, each in declared(type(self)).items():
            if each.declaration.registry is not None:
                named.append((each.declaration.registry, getattr(self, name)))
        return [registry.origin(value) for registry, value in named if value is not None]

    def as_dict(self) -> dict[str, Any]:
        """Returns the configuration as config.json holds it."""
        return asdict(self)

    def flat(self) -> dict[str, Any]:
        """Returns the configuration with the compressor's parameters among its settings."""
        return flat(self.as_dict())

    def lasting(self) -> dict[str, Any]:
        """Returns the settings that a resumed run cannot change, by which a checkpoint tells whose it is."""
        settings = declared(type(self))
        changing = {name for name in settings if settings[name].declaration.may_change}
        return {name: value for name, value in self.flat().items() if name not in {*changing, "device"}}


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens a configuration from config.json: the compressor's parameters stand among its settings."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= value if name == "compressor_parameters" else {name: value}
    return found


def _allowed(kind: Any) -> tuple[type, ...]:
    """Returns the types that a declared type accepts; an int is accepted as a float."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (get_origin(kind) or kind,)
    return (*kinds, int) if float in kinds else kinds
