"""How long each rank has been silent."""

from collections.abc import Iterable


class Silence:
    """Keeps how long each peer has been silent.

    Args:
        peers: the ranks to listen to.
        limit: seconds that they may be silent.
        beat: seconds between two heartbeats.
    """

    def __init__(self, peers: Iterable[int], limit: float, beat: float) -> None:
        self._limit, self._beat = limit, beat
        self._seconds = dict.fromkeys(peers, 0.0)

    def advance(self, seconds: float) -> None:
        """Adds time that has passed; not much more than a beat, since after more this process itself was frozen."""
        for peer in self._seconds:
            self._seconds[peer] += min(seconds, 2 * self._beat)

    def heard(self, peer: int) -> None:
        """Notes a message from the peer."""
        self._seconds[peer] = 0.0

    def remove(self, peer: int) -> None:
        """Stops waiting for messages from a peer that is shutting down."""
        self._seconds.pop(peer, None)

    def silent(self) -> list[int]:
        """Returns the peers that have been silent for too long."""
        return [peer for peer, seconds in self._seconds.items() if seconds > self._limit]
