"""Names of groups, short enough for a legend."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hvd_qgenx.captions import LINE, clip
from hvd_qgenx.report.settings import Settings, differing, is_asked_for, short, show

LINES = 2
"""The most lines of a name."""
VALUE = 24
"""Characters of a value in a name."""
SPEAKING = ("task", "optimizer", "exchange", "loss", "dataset", "model")
"""Settings whose values need no name beside them."""


def names(settings: Sequence[Settings], given: Sequence[str | None]) -> list[str]:
    """Names configurations: by mode or preset if no other has the same, else by what sets them apart.

    That is the compressor and, of configurations with the same one, the settings whose values are not those of most.
    A name has two lines at most; it counts the settings that find no room.

    Args:
        settings: pairwise different outcomes.
        given: the mode or preset of each, or None.
    """
    bases = [_compression(each) for each in settings]
    found = []
    for own, base, name in zip(settings, bases, given, strict=True):
        alike = [each for each, other in zip(settings, bases, strict=True) if other == base]
        unique = name and given.count(name) == 1
        found.append(clip(name, LINE) if name and unique else _joined([base, *_words(own, alike)]))
    return _distinct(found)


def _compression(settings: Settings) -> str:
    bits, coding = settings.get("compressor_parameters.bits"), settings.get("coding", "none")
    name = clip(str(settings["compressor"]), VALUE) + (f" {bits:g} bits" if isinstance(bits, int | float) else "")
    return name if coding == "none" else f"{name}, {clip(str(coding), VALUE)}"


def _words(own: Settings, alike: Sequence[Settings]) -> list[str]:
    """Returns the settings in which one of ``alike`` is unlike most; first those that few others have."""
    keys = [key for key in differing(alike) if own.get(key) not in (None, _usual(key, alike))]
    rivals, ordered = [each for each in alike if each is not own], []
    while keys:
        best = min(keys, key=lambda key: (len(_sharing(key, own, rivals)), key not in SPEAKING, not is_asked_for(key)))
        rivals = _sharing(best, own, rivals)
        keys.remove(best)
        ordered.append(_say(best, own[best]))
    return ordered


def _usual(key: str, alike: Sequence[Settings]) -> Any:
    """Returns the value that more than half have; if there is none, an object that is equal to no value."""
    values = [each.get(key) for each in alike]
    return next((value for value in values if 2 * values.count(value) > len(values)), object())


def _sharing(key: str, own: Settings, rivals: Sequence[Settings]) -> list[Settings]:
    return [each for each in rivals if each.get(key) == own[key]]


def _say(key: str, value: Any) -> str:
    text = clip(f"{value:g}" if isinstance(value, float) else show(value), VALUE)
    return text if key in SPEAKING else f"{clip(short(key), VALUE)} {text}"


def _joined(words: Sequence[str]) -> str:
    """Joins as many words as there is room for, and counts the others."""
    for count in range(len(words), 0, -1):
        rest = [f"{len(words) - count} more"] if count < len(words) else []
        name = ", ".join([*words[:count], *rest])
        if len(textwrap.wrap(name, LINE)) <= LINES:
            return name
    return clip(words[0], LINE)


def _distinct(found: Sequence[str]) -> list[str]:
    """Numbers names that are the same in spite of all."""
    left = Counter(name for name in found if found.count(name) > 1)
    return [f"{name} #{found[: place + 1].count(name)}" if name in left else name for place, name in enumerate(found)]
