"""The ranks of a command, from their start to their exit codes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import click

from compressors.kernels.threads import threads
from hvd_qgenx.errors import (
    ConfigurationError,
    DivergenceError,
    LocalError,
    TrainingError,
    configuration_errors,
    is_out_of_memory,
)
from hvd_qgenx.signals import as_stopped
from hvd_qgenx.transport import Transport, launched, launcher_rank
from hvd_qgenx.transport.abort import abort
from hvd_qgenx.transport.agreement import DisagreementError
from hvd_qgenx.transport.failures import explain_failure, is_failure
from hvd_qgenx.transport.launcher import launcher_size
from hvd_qgenx.transport.startup import check_start

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write that finds no more room, which may not name the file."""
SMALLER = "use smaller batches or models, fewer workers in a process, or a host with more memory"


@dataclass
class Session:
    """The transport of a command, once its ranks are initialized."""

    transport: Transport | None = None

    @property
    def is_primary(self) -> bool:
        """Tells whether this rank prints: the launcher's rank 0, or the transport's if the launcher is elastic."""
        if launcher_size() is None and self.transport is not None:
            return self.transport.rank == 0
        return launcher_rank() in (None, 0)

    def initialize(self, ranks: int | None, hosts: int | None, transport: Transport | None = None) -> Transport:
        """Starts this rank, unless it has a transport already, and checks that all ranks are the expected. Collective.

        Args:
            ranks: expected number of ranks: --expect-ranks; None accepts any.
            hosts: expected number of hosts: --expect-hosts; None accepts any.
            transport: of ranks that were started already.

        Raises:
            ConfigurationError: on all ranks.
        """
        self.transport = transport = transport or launched()
        check_start(transport, ranks, hosts)
        return transport

    def final_barrier(self) -> None:
        """Waits until all ranks are about to end."""
        if self.transport is not None:
            self.transport.all_gather_object(None, "final-barrier")

    def fail(self) -> NoReturn:
        """Ends this rank alone with code 1: the launcher ends the others, which MPI's end would wait for."""
        if self.transport is not None and self.transport.size > 1:
            abort(1)
        raise SystemExit(1)


@contextmanager
def exit_codes() -> Iterator[Session]:
    """Turns errors into one sentence on standard error, from rank 0.

    A configuration that cannot be run ends with code 2, training that cannot go on with 1. Initialized
    ranks fail together and end together: the launcher kills all ranks once the first has ended, and the
    sentence must be out by then. An error that one rank alone has, like a file that cannot be read or
    written, is printed by that rank; it ends with code 1 and the launcher ends the others. So do ranks
    whose collectives failed because of another. A signal that asks the process to end does so with the code
    that shells know it by: 130 for SIGINT, 143 for SIGTERM.
    """
    session = Session()
    try:
        with configuration_errors():
            threads()  # a wrong number of threads is found before work starts
        yield session
    except LocalError as error:
        _print_error(error)
        session.fail()
    except (ConfigurationError, TrainingError) as error:
        if session.is_primary:
            if isinstance(error, DisagreementError):
                click.echo(error.table, err=True)
            _print_error(error)
        session.final_barrier()
        raise SystemExit(2 if isinstance(error, ConfigurationError) else 1) from error
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"Error: {place}{error.strerror}", err=True)
        session.fail()
    except KeyboardInterrupt as interrupt:
        stopped = as_stopped(interrupt)
        if session.is_primary:
            click.echo(str(stopped), err=True)
        if stopped.together:
            session.final_barrier()
        raise SystemExit(stopped.code) from None
    except Exception as error:
        if is_out_of_memory(error):
            click.echo(f"Error: out of memory: {_first_line(error)}; {SMALLER}", err=True)
            session.fail()
        if not is_failure(error):
            raise
        if sentence := explain_failure(error):
            click.echo(f"Error: {sentence}", err=True)
        abort(1)


def _print_error(error: Exception) -> None:
    click.echo(f"Error: {error}", err=True)
    if isinstance(error, DivergenceError) and error.update is not None:
        click.echo(f"Training has diverged after update {error.update}.", err=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def require_alone() -> None:
    """Refuses several ranks, for a command whose ranks would all do the same work and write the same files.

    Raises:
        ConfigurationError: a launcher has started several.
    """
    if launcher_rank() is not None and launcher_size() != 1:
        name = click.get_current_context().command_path
        raise ConfigurationError(f"{name} runs in one process; call it without the launcher of ranks")
