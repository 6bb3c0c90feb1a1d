"""At which updates something happens."""

from dataclasses import dataclass

from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError


def milestones(text: str, name: str) -> tuple[int, ...]:
    """Updates given as "0,200,1000"; none if the text is empty.

    Raises:
        ConfigurationError: not a list of whole numbers that increase.
    """
    parts = [part for part in text.split(",") if part.strip()]
    if not all(part.strip().isdigit() for part in parts):
        raise ConfigurationError(f"{name} must be updates with commas between them, like 0,200,1000, not {shown(text)}")
    updates = tuple(int(part) for part in parts)
    if list(updates) != sorted(set(updates)):
        raise ConfigurationError(f"{name} must increase, not {shown(text)}")
    return updates


@dataclass(frozen=True)
class Schedule:
    """At the milestones and, after the last of them, at every multiple of ``every`` (0: never)."""

    at: tuple[int, ...]
    every: int

    def due(self, update: int) -> bool:
        """Is it time before this update (counted from 0)?"""
        later = update > max(self.at, default=0)
        return update in self.at or (later and self.every > 0 and update % self.every == 0)

    def fires_within(self, updates: int) -> bool:
        """Does it happen at all in a run of so many updates?"""
        return any(self.due(update) for update in range(updates))
