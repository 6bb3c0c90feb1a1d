"""Options that several commands share, and how errors leave a command."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import click
import torch

import compressors
from compressors import Compressor, parameters
from compressors.kernels.threads import VARIABLE as THREADS
from compressors.kernels.threads import set_threads, threads
from compressors.spec import Spec
from hvd_qgenx.errors import ConfigurationError, LocalError, TrainingError
from compressors.registry import compressor_parameters, kind
from hvd_qgenx.training import stopping
from hvd_qgenx.training.stopping import Stopped
from hvd_qgenx.transport import Transport, launched, launcher_rank
from hvd_qgenx.transport.agreement import DisagreementError
from hvd_qgenx.transport.broken import explain_broken, is_broken, leave
from hvd_qgenx.transport.launch import STALL_SECONDS, STALL_SHUTDOWN, launcher_size, limit_stall
from hvd_qgenx.transport.startup import check_start

F = TypeVar("F", bound=Callable[..., Any])


def compressor_options(function: F) -> F:
    """Adds one option for every parameter of the registered compressors."""
    for name, owners in reversed(compressor_parameters().items()):
        field = owners[0][1]
        users = ", ".join(f"{owner}{parameters.limits(own)}" for owner, own in owners)
        defaults = " or ".join(dict.fromkeys(str(own.default) for _, own in owners))
        text = f"{field.metadata['help']} For {users}.  [default: {defaults}]"
        wanted = kind(owners)
        function = click.option(
            f"--{name.replace('_', '-')}", name, type=number if wanted is float else wanted, help=text
        )(function)
    return function


def number(text: str) -> float:
    """A number; an int if it is written as one."""
    for wanted in (int, float):
        with suppress(ValueError):
            return wanted(text)
    raise click.BadParameter(f"{text!r} is not a number.")


def take_compressor_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Removes the parameters of compressors from ``values`` and returns those that were given."""
    taken = {name: values.pop(name) for name in compressor_parameters()}
    return {name: value for name, value in taken.items() if value is not None}


def read_compressor(text: str) -> tuple[str, dict[str, "dataclasses.Field[Any]"], dict[str, Any]]:
    """Of NAME or NAME:PARAMETER=VALUE,...: the name, the compressor's parameters, and the values given.

    Raises:
        ValueError: an unknown name or parameter, or a value of another type.
    """
    spec = Spec.parse(text)
    fields = {field.name: field for field in parameters.fields(compressors.get(spec.name))}
    return spec.name, fields, spec.read(fields)


def compressors_at(texts: Iterable[str], widths: Sequence[float], seed: int = 0) -> list[tuple[str, str, Compressor]]:
    """Every compressor of these texts, as ``read_compressor`` takes them, at those of the widths that it can have.

    Returns:
        (text, width in words, compressor); the width is empty where it has none, or the text gives it.

    Raises:
        ConfigurationError: one cannot be made, at any of the widths.
    """
    made = []
    for text in texts:
        try:
            name, fields, own = read_compressor(text)
            if "bits" not in fields.keys() - own.keys():
                made.append((text, "", compressors.make(name, seed=seed, **own)))
                continue
            possible = [bits for bits in widths if _can_have(name, {**own, "bits": bits})]
            for bits in possible or widths:  # if none is, the first says why
                made.append((text, f"{bits:g} bits", compressors.make(name, seed=seed, bits=bits, **own)))
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
    return made


def _can_have(name: str, values: dict[str, Any]) -> bool:
    try:
        compressors.make(name, **values)
    except ValueError:
        return False
    return True


def share_cores(transport: Transport) -> None:
    """Ranks of one host share its cores, unless the user said how many threads to use."""
    share = max(1, (os.cpu_count() or 1) // transport.local_size)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(share)
    if THREADS not in os.environ:
        set_threads(share)


@dataclasses.dataclass
class Session:
    """The ranks of a command, once they have met."""

    transport: Transport | None = None

    @property
    def speaks(self) -> bool:
        """Whether this is the rank that prints: the launcher's first, or the transport's where ranks come and go."""
        if launcher_size() is None and self.transport is not None:
            return self.transport.rank == 0
        return launcher_rank() in (None, 0)

    def meet(self, ranks: int | None, hosts: int | None, transport: Transport | None = None) -> Transport:
        """Starts this rank, unless it has a transport already, and checks that the ranks fit together. Collective.

        Args:
            ranks: how many there are to be: --expect-ranks.
            hosts: likewise: --expect-hosts.
            transport: of ranks that something else has started.

        Raises:
            ConfigurationError: on all ranks.
        """
        self.transport = transport = transport or launched()
        check_start(transport, ranks, hosts)
        return transport


@contextmanager
def exit_codes() -> Iterator[Session]:
    """Turns errors into one sentence on standard error, from rank 0.

    A configuration that cannot be run ends with code 2, training that cannot go on with 1. Ranks
    that have met fail together and leave together: the launcher kills all once the first has left,
    and the sentence must be out by then. Trouble that one rank alone has met, like a file that cannot
    be read or written, it reports itself; it leaves with code 1 and the launcher ends the others. So do
    ranks whose collectives failed because of another. SIGTERM ends with code 143 and SIGINT with 130.
    """
    session = Session()
    try:
        with stopping.raised():
            _check_threads()
            yield session
    except LocalError as error:
        click.echo(f"Error: {error}", err=True)
        _fail(session)
    except (ConfigurationError, TrainingError) as error:
        if session.speaks:
            if isinstance(error, DisagreementError):
                click.echo(error.table, err=True)
            click.echo(f"Error: {error}", err=True)
        if session.transport is not None:
            session.transport.all_gather_object(None, "farewell")
        raise SystemExit(2 if isinstance(error, ConfigurationError) else 1) from error
    except OSError as error:
        if error.filename is None:
            raise
        click.echo(f"Error: {error.filename}: {error.strerror}", err=True)
        _fail(session)
    except KeyboardInterrupt as interrupt:
        _stop(interrupt if isinstance(interrupt, Stopped) else Stopped(signal.SIGINT), session)
    except Exception as error:
        if not is_broken(error):
            raise
        if sentence := explain_broken():
            click.echo(f"Error: {sentence}", err=True)
        leave(1)


def _fail(session: Session) -> NoReturn:
    """Ends this rank alone: the launcher is to end the others, which MPI's end would wait for."""
    if session.transport is not None and session.transport.size > 1:
        leave(1)
    raise SystemExit(1)


def _stop(stopped: Stopped, session: Session) -> NoReturn:
    if session.speaks:
        click.echo(str(stopped), err=True)
    if stopped.together and session.transport is not None:
        session.transport.all_gather_object(None, "farewell")
    raise SystemExit(stopped.code)


def _check_threads() -> None:
    """Before work starts: kernels read the variable when they are first used."""
    try:
        threads()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def option_from(config: type) -> Callable[..., Callable[[F], F]]:
    """Makes options whose type and default are those of the field of the same name in a dataclass.

    A field that is true or false has an option to switch it on and one to switch it off.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}

    def option(flag: str, help: str, **settings: Any) -> Callable[[F], F]:
        name = flag.lstrip("-").replace("-", "_")
        default = defaults[name]
        settings = {"type": type(default), "show_default": True, **settings}
        flags = f"{flag}/--no-{flag.lstrip('-')}" if isinstance(default, bool) else flag
        return click.option(flags, name, default=default, help=help, **settings)

    return option


class Sectioned(click.Command):
    """A command whose help has its options under headings."""

    def __init__(self, *args: Any, sections: Mapping[str, str], **settings: Any) -> None:
        """
        Args:
            args: as of ``click.Command``, and so ``settings``.
            sections: headings, by the name of the first option under them.
        """
        super().__init__(*args, **settings)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            heading = self.sections.get(parameter.name or "", heading)
            if record := parameter.get_help_record(ctx):
                found.setdefault(heading, []).append(record)
        for heading, records in found.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def require_alone() -> None:
    """For a command whose ranks would all do the same work and write the same files.

    Raises:
        ConfigurationError: a launcher has started several.
    """
    if launcher_rank() is not None and launcher_size() != 1:
        name = click.get_current_context().command_path
        raise ConfigurationError(f"{name} runs in one process; call it without the launcher of ranks")


def _limit_stall(_: click.Context, __: click.Parameter, seconds: int) -> None:
    if launcher_rank() is not None:
        limit_stall(seconds)


def launcher_options(function: F) -> F:
    """Adds what every command has that may be started on several ranks: ``expect_ranks`` and ``expect_hosts``."""
    for option in (
        click.option(
            "--stall-seconds",
            type=click.IntRange(0),
            default=STALL_SECONDS,
            envvar=STALL_SHUTDOWN,
            show_default=True,
            show_envvar=True,
            expose_value=False,
            callback=_limit_stall,
            help="How long a rank may be silent before the job ends; 0: for ever.",
        ),
        click.option("--expect-hosts", type=click.IntRange(1), help="Stop at once unless they are on so many hosts."),
        click.option("--expect-ranks", type=click.IntRange(1), help="Stop at once unless there are so many ranks."),
    ):
        function = option(function)
    return function
