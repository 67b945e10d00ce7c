"""What waits for a guest's thread, and how it is told what came of it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

import attrs

__all__ = ["Job", "JobQueue", "settle"]


@attrs.define(eq=False)
class Job:
    """Something to do on the guest's thread: usually one call, for a parked guest a loop of calls."""

    work: Callable[[], object]
    name: str
    timeout: float | None
    future: Future[object] = attrs.field(factory=Future)


class JobQueue:
    """The jobs that wait for a guest's thread, in their order. May be used from any thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # no job is put in once the queue refuses
        self._refusal: Callable[[Job], BaseException] | None = None

    def put(self, job: Job) -> None:
        """Queue a job, or refuse it as ``refuse`` said."""
        with self._lock:
            if self._refusal is None:
                self._jobs.put(job)
                return
        settle(job.future, error=self._refusal(job))

    def get(self) -> Job | None:
        """Wait for the next job; ``None``: the guest's thread is to end."""
        return self._jobs.get()

    def end(self) -> None:
        """Let the guest's thread end after the jobs that wait now."""
        self._jobs.put(None)

    def refuse(self, refusal: Callable[[Job], BaseException]) -> None:
        """Settle the jobs that wait, and all later ones, with an error; let the guest's thread end.

        Args:
            refusal: Returns a job's error. If the queue refuses already, the first one counts for later jobs.
        """
        with self._lock:
            self._refusal = self._refusal or refusal
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    settle(job.future, error=refusal(job))
        self.end()  # its mark may have been taken out with the jobs


def settle(future: Future[object], *, result: object = None, error: BaseException | None = None) -> None:
    """Resolve a future that the watch may have resolved already, or its owner cancelled."""
    with contextlib.suppress(InvalidStateError):
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
