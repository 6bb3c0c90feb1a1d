"""One writer for a folder, among all processes."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from hvd_qgenx.errors import ConfigurationError

NAME = ".lock"
PATIENCE, LOOK = 3.0, 0.05
"""Seconds in which a former holder may still be ending, as after a lost rank, and between two attempts."""


class Lock:
    """Holds a folder for this process until it is released or the process ends, however it ends.

    Attributes:
        file: whose descriptor child processes may inherit, so that one left behind keeps the lock.
    """

    def __init__(self, folder: Path, who: str) -> None:
        """
        Args:
            folder: which exists.
            who: the holder, for others to read.

        Raises:
            ConfigurationError: another process holds the folder; says which.
            OSError: the file cannot be made.
        """
        self.file: IO[str] = (folder / NAME).open("a+")
        deadline = time.monotonic() + PATIENCE
        while not self._taken():
            if time.monotonic() > deadline:
                self.file.seek(0)
                holder = self.file.read(200).strip() or "another process"
                self.file.close()
                raise ConfigurationError(f"{folder} is in use by {holder}; wait for it, or stop it")
            time.sleep(LOOK)
        self.file.truncate(0)
        self.file.write(f"{who}, process {os.getpid()} on {socket.gethostname()}\n")
        self.file.flush()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Lets others have the folder."""
        self.file.close()
