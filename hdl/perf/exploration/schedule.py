"""Where the batches of an exploration run: in this process, on several cores, or on a Dask cluster that is there."""

import logging
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed

from ...errors import InputError

__all__ = ["CONNECT_SECONDS", "run"]

CONNECT_SECONDS = 10
"""How long a scheduler has to answer, and to have its first worker."""

TRIES = 5
"""How often a task is given out whose workers were lost."""

Task = Callable[[Any, Any], Any]
"""Of what all share and an argument of its own, a result; a function of a module, so that other processes find it."""


def run(
    task: Task, shared: Any, arguments: Sequence[Any], *, jobs: int = 1, scheduler: str | None = None
) -> Iterator[tuple[int, Any]]:
    """The results of ``task(shared, argument)`` with the places of their arguments, in any order, as they come.

    ``jobs`` processes (-1: one for each core), or the workers of the Dask scheduler at an address.

    Raises:
        InputError: for a scheduler that does not answer, has no workers or is lost.
    """
    numbered = list(enumerate(arguments))
    if not numbered:
        return
    if scheduler is not None:
        yield from on_cluster(task, shared, numbered, scheduler)
    elif jobs == 1:
        for number, argument in numbered:
            yield number, task(shared, argument)
    else:
        calls = (delayed(numbered_call)(task, shared, number, argument) for number, argument in numbered)
        yield from closed_quietly(Parallel(n_jobs=jobs, return_as="generator_unordered")(calls))


def closed_quietly(results: Generator[Any, None, None]) -> Iterator[Any]:
    """The results; where the caller stops early, it is not told of the tasks that are left, which it knows."""
    try:
        # `yield from` would close them before the warnings are off.
        for result in results:  # noqa: UP028
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


def numbered_call(task: Task, shared: Any, number: int, argument: Any) -> tuple[int, Any]:
    """A result with its place."""
    return number, task(shared, argument)


def on_cluster(task: Task, shared: Any, numbered: Sequence[tuple[int, Any]], address: str) -> Iterator[tuple[int, Any]]:
    """`run` on a Dask cluster. A worker that is lost loses nothing: others get what it had."""
    try:
        from distributed import CancelledError, Client, KilledWorker, as_completed
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.comm.core import CommClosedError
    except ImportError:
        raise InputError(
            f"scheduler {address!r} needs the packages of the extra 'cluster': dask, distributed"
        ) from None
    try:
        # A client that is made of something else cannot be closed, and says so when Python ends.
        protocol, place = parse_address(address)
        if protocol in ("tcp", "tls"):
            parse_host_port(place)
    except ValueError:
        raise InputError(f"scheduler {address!r} must be an address such as tcp://127.0.0.1:8786") from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise InputError(
            f"scheduler {address!r} must be a running Dask scheduler, but does not answer; start one with"
            " 'dask scheduler', or leave --scheduler out"
        ) from None
    with quiet(), client:
        wait_for_worker(client, address)
        # A computed value, not a scattered one: where all workers that hold it are lost, it is computed again.
        holder = client.submit(same, shared, pure=False, retries=TRIES)
        waiting = {client.submit(task, holder, argument, pure=False, retries=TRIES): (number, argument, TRIES)
                   for number, argument in numbered}  # fmt: skip
        finished = as_completed(waiting, loop=client.loop)
        try:
            for future in finished:
                number, argument, tries = waiting.pop(future)
                try:
                    result = future.result()
                except KilledWorker:
                    if tries == 1:
                        raise InputError(
                            f"workers of scheduler {address!r} are lost again and again: {future}"
                        ) from None
                    if holder.status == "error":
                        holder = client.submit(same, shared, pure=False, retries=TRIES)
                    again = client.submit(task, holder, argument, pure=False, retries=TRIES)
                    waiting[again] = number, argument, tries - 1
                    finished.add(again)
                    continue
                yield number, result
        except (CancelledError, CommClosedError, OSError):
            raise InputError(
                f"scheduler {address!r} is lost; what is finished is kept, run again to continue"
            ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves it to us to say that a connection is lost, in one line."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


def same(value: Any) -> Any:
    """The value itself."""
    return value


def wait_for_worker(client: Any, address: str) -> None:
    """Raises InputError where a scheduler has no worker in time."""
    until = time.monotonic() + CONNECT_SECONDS
    while not client.scheduler_info()["workers"]:
        if time.monotonic() > until:
            raise InputError(f"scheduler {address!r} must have workers, but has none; start one with 'dask worker'")
        time.sleep(0.1)
