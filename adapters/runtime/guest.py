"""One guest: an instance, the thread that owns it, and the calls that wait for it.

The laws of this room:

- Only the guest's thread enters the instance. Jobs are queued and run one after the other; the first two compile the
  module and initialise it.
- Every job may have a deadline. Stopping is a flag that host functions look at, asleep or not, plus a cancel that the
  watch sends until the call has ended.
- A guest that trapped, exited, or was cancelled keeps half-changed state, so it is *discarded*: no further call runs in
  it. Whoever needs the plugin makes a new guest, and configures it.
- What a host function raises surfaces at the call that was running.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from adapters.companion.border import Border
from adapters.companion.rewriting import INITIALISER_NAMES, Ceilings
from adapters.errors import PluginCallError
from adapters.observe import Observer
from adapters.runtime.compiling import TURNS, make_instance
from adapters.runtime.engine import CallOutcome, Instance
from adapters.runtime.entrance import Entrance
from adapters.runtime.errors import COMPILATION, GuestStoppedError, PluginTimeoutError
from adapters.runtime.jobs import Job, JobQueue, settle
from adapters.runtime.replies import failure_reason
from adapters.runtime.verdict import why_trapped
from adapters.runtime.watch import PROCESS, Watch
from detectors.machine import machine_error, machine_faults

__all__ = ["Guest"]
_LINGERS = "guest %s does not stop (asleep, or being instantiated); it lingers until it wakes"

T = TypeVar("T")


class Guest:
    """One plugin instance on a thread of its own.

    Args:
        wasm: The module's bytes.
        plugin: The plugin's name, for errors and logs.
        border: The host's end of its border. The guest sets its stop flag when it is told to stop.
        ceilings: How large the module's memories and tables may become; ``None``: as it says itself.
        compile_timeout: Seconds that the module may take to be compiled and instantiated.
        initialise_timeout: Seconds that it may take to initialise itself, from then on.
        name: What to call the guest itself; the plugin's name if it has but one.
        observer: Sees every call.
        redact: Takes secrets out of what the plugin says.
        logger: Where it is told that the guest does not stop.
        watch: Ends the guest's calls, and holds the clock of their deadlines; the process's own unless given.

    Raises:
        MachineError: Its thread could not be started.
    """

    def __init__(
        self,
        wasm: bytes,
        *,
        plugin: str,
        border: Border,
        ceilings: Ceilings | None = None,
        compile_timeout: float = 120.0,
        initialise_timeout: float = 10.0,
        name: str = "",
        observer: Observer | None = None,
        redact: Callable[[str], str] = str,
        logger: logging.Logger | None = None,
        watch: Watch = PROCESS,
    ) -> None:
        self.plugin = plugin
        self.name = name or plugin
        self.border = border
        self.stopping = border.stopping
        border.on_returned = self._begin_deadline
        self._wasm = wasm
        self._ceilings = ceilings
        self._compile_timeout, self._initialise_timeout = compile_timeout, initialise_timeout
        self._observer = observer
        self._redact = redact
        self._logger = logger or logging.getLogger(f"compat.plugin.{plugin}")
        self._watch = watch
        self._jobs = JobQueue()
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._entrance: Entrance | None = None
        self._initialisers: tuple[str, ...] = ()
        self._current: Job | None = None
        self._deadline: float | None = None
        self._expired = False
        self._stop_since: float | None = None
        self._initialised = self._discarded = self._lingering = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"guest {self.name}", daemon=True)
        with machine_faults(plugin):
            watch.born(self)
            try:
                self._thread.start()
            except BaseException:
                watch.died(self)
                raise

    @property
    def usable(self) -> bool:
        """Whether further calls can run."""
        return not (self._discarded or self.stopping.is_set() or self._ended.is_set())

    @property
    def initialised(self) -> bool:
        """Whether the module could be instantiated and initialised, so that its exports can run."""
        return self._initialised

    @property
    def lingering(self) -> bool:
        """Whether it was told to stop and could not be stopped so far."""
        return self._lingering and not self._ended.is_set()

    def submit(self, work: Callable[[], T], name: str, *, timeout: float | None = None) -> Future[T]:
        """Queue something to do on the guest's thread, where ``enter`` may be called.

        Args:
            work: What to do; its result or exception becomes the future's.
            name: What to call it in errors, usually the export's name.
            timeout: Seconds from when it begins until it is cancelled and the guest discarded; ``None``: no deadline.

        A guest that has ended or is lingering refuses it: the future holds why.
        """
        job = Job(work, name, timeout)
        self._jobs.put(job)
        return job.future  # type: ignore[return-value]

    async def call(self, export: str, data: bytes, *, timeout: float | None = None) -> bytes:
        """Call an export and return its output.

        Raises:
            PluginCallError: It returned a non-zero code or reported an error.
            PluginTrapError: The guest trapped, or the module could not be instantiated; the guest is discarded.
            PluginTimeoutError: The deadline passed; the guest is discarded.
            GuestStoppedError: The guest was stopped or discarded before the call could end.
            MachineError: The machine has no files, memory or threads left for it.
        """
        return self.judge(export, await self.attempt(export, data, timeout=timeout))

    async def attempt(self, export: str, data: bytes, *, timeout: float | None = None) -> CallOutcome:
        """Like ``call``, but the plugin's own failures (``PluginCallError``) are returned with their output."""

        def work() -> CallOutcome:
            outcome = self.enter(export, data)
            self.require_whole(export, outcome)
            return outcome

        return await asyncio.wrap_future(self.submit(work, export, timeout=timeout))

    def enter_checked(self, export: str, data: bytes) -> bytes:
        """Like ``call``, on the guest's thread itself."""
        return self.judge(export, self.enter(export, data))

    def enter(self, export: str, data: bytes) -> CallOutcome:
        """Run an export on the guest's thread and return how it ended, unjudged.

        Args:
            export: The export's name.
            data: The input.
        """
        return self.enter_many(export, [data])[0]

    def enter_many(self, export: str, inputs: Sequence[bytes]) -> list[CallOutcome]:
        """Run an export on one input after the other, on the guest's thread; see ``Entrance.enter``.

        Returns:
            The outcomes, unjudged, of those inputs that the guest was given: one or more, from the first input on.
            Only the last may be a trap.
        """
        if self._entrance is None or self._discarded:
            raise GuestStoppedError(self.plugin, export)
        outcomes = self._entrance.enter(export, inputs)
        self._discarded = self._discarded or outcomes[-1].broke
        return outcomes

    def judge(self, export: str, outcome: CallOutcome) -> bytes:
        """The output of a call that succeeded; otherwise raises why it did not. See ``call``."""
        if outcome.ok:
            return outcome.output
        if self._expired:
            raise PluginTimeoutError(self.plugin, export, (self._current and self._current.timeout) or 0.0)
        if outcome.raised is not None:
            raise outcome.raised
        if outcome.trapped:
            raise why_trapped(export, outcome, self.border, self._ceilings, self._redact)
        raise PluginCallError(self.plugin, export, outcome.code, self.reason_of(outcome))

    def require_whole(self, export: str, outcome: CallOutcome) -> None:
        """Raise what broke the guest in a call, if anything did: a trap, a host function, or its deadline."""
        if outcome.broke or self._expired:
            self.judge(export, outcome)

    def reason_of(self, outcome: CallOutcome) -> str:
        """Why a call failed, in the plugin's words and without secrets; empty if it gave no reason."""
        return failure_reason(outcome, self._redact)

    # The guest's thread

    def _run(self) -> None:
        try:
            self._serve(self._begin())
        finally:
            with self._lock:
                self._ended.set()
            self._jobs.refuse(self._stopped)
            if self._instance is not None:
                self._instance.free()
            self._watch.died(self)

    def _begin(self) -> BaseException | None:
        """Compile the module and initialise it. Returns why that failed."""
        compiling = Job(self._compile, COMPILATION, self._compile_timeout)
        initialising = Job(self._initialise, "initialisation", self._initialise_timeout)
        broken = self._outcome(compiling)
        if broken is None and self._initialisers:
            broken = self._outcome(initialising)
        self._initialised = broken is None
        self._discarded = self._discarded or broken is not None
        return broken

    def _outcome(self, job: Job) -> BaseException | None:
        self._perform(job)
        error = job.future.exception()
        return self._timed_out(job) if self._expired and not isinstance(error, PluginTimeoutError) else error

    def _compile(self) -> None:
        instance, self._initialisers = make_instance(self._wasm, self.plugin, self.border, self._ceilings)
        self._instance, self._entrance = instance, Entrance(instance, self.border, self.name, self._observer)

    def _initialise(self) -> None:
        assert self._entrance is not None  # noqa: S101 - _compile has set it
        for export in self._initialisers:
            self.judge(INITIALISER_NAMES[export], self._entrance.run(export, b""))

    def _serve(self, broken: BaseException | None) -> None:
        while (job := self._jobs.get()) is not None:
            if broken is not None:
                settle(job.future, error=broken)
            elif not self.usable:
                settle(job.future, error=self._stopped(job))
            else:
                self._perform(job)

    def _perform(self, job: Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        self._current = job
        self._begin_deadline()
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
            settle(job.future, error=machine_error(error, self.plugin) or error)
        else:
            settle(job.future, result=result)
        finally:
            with self._lock:
                self._current = self._deadline = None
                self._discarded = self._discarded or self._expired

    def _begin_deadline(self) -> None:
        """The job that runs has its time from now on: it begins, or goes on with the next message of a batch."""
        with self._lock:
            job = self._current
            if job is not None and job.timeout is not None:
                self._deadline = self._watch.clock() + job.timeout
                self._watch.look_after(self, self._deadline)

    def _stopped(self, job: Job) -> GuestStoppedError:
        return GuestStoppedError(self.plugin, job.name)

    def _timed_out(self, job: Job) -> PluginTimeoutError:
        return PluginTimeoutError(self.plugin, job.name, job.timeout or 0.0)

    # Any thread

    def stop(self) -> None:
        """Begin to stop: no further call runs, the running one is cancelled. Does not wait."""
        with self._lock:
            if self._stop_since is not None:
                return
            self._stop_since = self._watch.clock()
            self._let_go()
            self._jobs.end()
        self._watch.look_after(self, self._stop_since)

    def _let_go(self) -> None:
        """Let whatever waits on the guest's thread look up: a host function, or a turn to compile. Under the lock."""
        self.stopping.set()
        if self._instance is None:
            TURNS.wake()

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the guest's thread has ended. Returns whether it has."""
        return self._ended.wait(timeout)

    async def aclose(self) -> None:
        """Stop, and wait until the guest has ended or is lingering."""
        self.stop()
        while not self._ended.is_set() and not self._lingering:  # noqa: ASYNC110 - the other side is a thread
            await asyncio.sleep(0.005)

    def check(self, now: float) -> float | None:
        """For the watch: cancel what is past its deadline or told to stop. See ``Watched``."""
        with self._lock:
            job, instance = self._current, self._instance
            if self._ended.is_set():
                return None
            begun = self._stop_since
            if begun is None and self._deadline is not None:
                if now < self._deadline:
                    return self._deadline
                begun = self._deadline
                self._expired = True
                self._let_go()
            if begun is None:
                return None
        if instance is not None:
            instance.cancel()
        if now - begun > self._watch.linger_after and not self._lingering:
            level = logging.DEBUG if self._watch.exiting else logging.WARNING  # at exit, stderr should be empty
            try:
                self._logger.log(level, _LINGERS, self.name)  # before whoever is released may end the process
            finally:  # the user's logger may raise
                self._give_up(job)
        return now

    def _give_up(self, job: Job | None) -> None:
        """Cancelling did not help so far: release whoever waits, and keep counting the guest."""
        self._lingering = self._discarded = True
        refusal: Callable[[Job], Exception] = self._stopped
        if job is not None:
            error: Exception = self._stopped(job)
            if self._expired:
                error = self._timed_out(job)
                if not self._initialised:
                    refusal = lambda _: error  # noqa: E731 - every later call fails for the same reason
            settle(job.future, error=error)
        self._jobs.refuse(refusal)
        self.stop()
