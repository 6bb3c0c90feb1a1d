"""Groups of a model's tensors that share levels: by kind of layer, each tensor alone, or by patterns of names."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from compressors.layerwise import kind_of_shape
from compressors.naming import shortened, unknown
from hvd_qgenx.errors import ConfigurationError

RULES = ("kind", "tensor")
"""Rules that need no patterns."""
EMBEDDING, NORM, FIRST, LAST = "embedding", "norm", "first", "last"

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "convolution": (_ConvNd,),
    "linear": (nn.Linear, nn.Bilinear),
    EMBEDDING: (nn.Embedding, nn.EmbeddingBag),
    "recurrent": (nn.RNNBase, nn.RNNCellBase),
    "attention": (nn.MultiheadAttention,),
    NORM: (_NormBase, nn.LayerNorm, nn.GroupNorm),
}


def layer_kinds(model: nn.Module) -> dict[str, str]:
    """Returns the kind of layer that every parameter of a model belongs to, by the parameter's name.

    Kinds are ``first`` and ``last``, the layers that the model registers first and last among those with a matrix, if
    it has three or more; else ``convolution``, ``linear``, ``embedding`` (never first or last), ``recurrent``,
    ``attention`` or ``norm``. Parameters of other modules go by their shapes. A model that registers its last layer
    elsewhere names it in an attribute ``last_layer``. A parameter that several modules share belongs to the first.

    Examples:
        >>> layer_kinds(nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 8), nn.LayerNorm(8)))
        {'0.weight': 'embedding', '1.weight': 'linear', '1.bias': 'linear', '2.weight': 'norm', '2.bias': 'norm'}
    """
    modules = {
        name: next((kind for kind, types in _KINDS.items() if isinstance(module, types)), None)
        for name, module in model.named_modules()
    }
    owners = {name: name.rpartition(".")[0] for name, _ in model.named_parameters()}
    kinds = {name: modules[owners[name]] or kind_of_shape(p.shape) for name, p in model.named_parameters()}
    matrices = [name for name, parameter in model.named_parameters() if parameter.dim() > 1]
    layers = list(dict.fromkeys(owners[name] for name in matrices))
    if len(layers) >= 3:
        ends = {layers[0]: FIRST, getattr(model, "last_layer", layers[-1]): LAST}
        kinds = {name: kind if kind == EMBEDDING else ends.get(owners[name], kind) for name, kind in kinds.items()}
    return kinds


def check_rule(rule: str) -> None:
    """Raises ConfigurationError, in one sentence, if ``rule`` is neither one of ``RULES`` nor patterns of groups."""
    if "=" in rule:
        _patterns(rule)
    elif rule not in RULES:
        raise ConfigurationError(unknown("rule for levels_by", rule, (*RULES, "NAME=PATTERN,...")))


def groups(rule: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """Returns the groups of tensors, by name.

    Args:
        rule: ``kind``, ``tensor``, or ``NAME=PATTERN,...``: a tensor belongs to the first pattern that fits its name,
            and to no group if none does.
        kinds: kind of layer of every tensor, by name.

    Raises:
        ConfigurationError: there is no such rule, or a pattern fits no tensor.
    """
    check_rule(rule)
    if "=" not in rule:
        return dict(kinds) if rule == "kind" else {name: name for name in kinds}
    found: dict[str, str] = {}
    for group, pattern in _patterns(rule):
        fitting = [name for name in kinds if fnmatchcase(name, pattern)]
        if not fitting:
            raise ConfigurationError(f"levels_by: no tensor's name fits {pattern!r}; {shortened(_listing(kinds))}")
        for name in fitting:
            found.setdefault(name, group)
    return found


def of_players(players: Mapping[str, nn.Module]) -> dict[str, str]:
    """Returns the kinds of layers of several models, as PLAYER.KIND by PLAYER.NAME; without the player if it is ""."""
    return {
        f"{player}.{name}".lstrip("."): f"{player}.{kind}".lstrip(".")
        for player, model in players.items()
        for name, kind in layer_kinds(model).items()
    }


def _patterns(rule: str) -> list[tuple[str, str]]:
    pairs = [tuple(part.strip() for part in each.split("=", 1)) for each in rule.split(",")]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise ConfigurationError(f"levels_by: groups are NAME=PATTERN,..., not {shortened(rule)!r}")
    return [(group, pattern) for group, pattern in pairs]


def _listing(names: Mapping[str, str]) -> str:
    return f"there are {', '.join(names)}"
