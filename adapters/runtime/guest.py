"""One guest: an instance, the thread that owns it, and the calls that wait for it.

The laws of this room:

- Only the guest's thread enters the instance. Calls are queued and run one after the other; the first are those that
  initialise the module.
- Every call may have a deadline. Stopping is a flag that host functions look at, asleep or not, plus a cancel that the
  watch sends until the call has ended.
- A guest that trapped, exited, or was cancelled keeps half-changed state, so it is *discarded*: no further call runs in
  it. Whoever needs the plugin makes a new guest, and configures it.
- What a host function raises surfaces at the call that was running.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import attrs

from adapters.companion.border import Border
from adapters.companion.faults import fault_error
from adapters.companion.linking import link
from adapters.companion.rewriting import INITIALISER_NAMES, Ceilings
from adapters.companion.trampoline import COLLECT
from adapters.errors import PluginCallError
from adapters.observe import Crossing, Direction, Observer
from adapters.runtime.engine import CallOutcome, Instance, InstantiationError
from adapters.runtime.errors import GuestStoppedError, PluginExitError, PluginTimeoutError, PluginTrapError
from adapters.runtime.jobs import Job, JobQueue, settle
from adapters.runtime.links import check_links
from adapters.runtime.replies import failure_reason
from adapters.runtime.watch import PROCESS, Watch
from detectors.errors import CompatError

__all__ = ["Guest"]

T = TypeVar("T")


class Guest:
    """One plugin instance on a thread of its own.

    Args:
        wasm: The module's bytes.
        plugin: The plugin's name, for errors and logs.
        border: The host's end of its border. The guest sets its stop flag when it is told to stop.
        ceilings: How large the module's memories and tables may become; ``None``: as it says itself.
        initialise_timeout: Seconds that the module may take to initialise itself.
        name: What to call the guest itself; the plugin's name if it has but one.
        observer: Sees every call.
        redact: Takes secrets out of what the plugin says.
        logger: Where it is told that the guest does not stop.
        watch: Ends the guest's calls, and holds the clock of their deadlines; the process's own unless given.
    """

    def __init__(
        self,
        wasm: bytes,
        *,
        plugin: str,
        border: Border,
        ceilings: Ceilings | None = None,
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
        self._wasm = wasm
        self._ceilings = ceilings
        self._initialise_timeout = initialise_timeout
        self._observer = observer
        self._redact = redact
        self._logger = logger or logging.getLogger(f"compat.plugin.{plugin}")
        self._watch = watch
        self._jobs = JobQueue()
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._current: Job | None = None
        self._deadline: float | None = None
        self._expired = False
        self._stop_since: float | None = None
        self._initialised = False
        self._discarded = False
        self._lingering = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"guest {self.name}", daemon=True)
        watch.born(self)
        self._thread.start()

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
        """
        return self.judge(export, await self.attempt(export, data, timeout=timeout))

    async def attempt(self, export: str, data: bytes, *, timeout: float | None = None) -> CallOutcome:
        """Like ``call``, but the plugin's own failures (``PluginCallError``) are returned with their output."""

        def work() -> CallOutcome:
            outcome = self.enter(export, data)
            if outcome.trapped or outcome.raised is not None or self._expired:
                self.judge(export, outcome)
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
        self._observe(Direction.CALL, export, data)
        outcome = self._enter(export, data)
        self._observe(Direction.RETURN, export, outcome.output)
        return outcome

    def _enter(self, export: str, data: bytes) -> CallOutcome:
        instance, border = self._instance, self.border
        if instance is None or self._discarded:
            raise GuestStoppedError(self.plugin, export)
        border.begin(export)
        outcome = instance.call(export, data)
        if outcome.trapped or outcome.raised is not None:
            self._discarded = True
            border.collect(lambda: instance.call(COLLECT, b""))  # what it said has not all crossed
        border.voice.end_of_call()
        if border.error is not None:
            outcome = attrs.evolve(outcome, reason=border.error.decode(errors="replace"))
        return outcome

    def judge(self, export: str, outcome: CallOutcome) -> bytes:
        """The output of a call that succeeded; otherwise raises why it did not. See ``call``."""
        if outcome.ok:
            return outcome.output
        if self._expired:
            raise PluginTimeoutError(self.plugin, export, self._current_timeout())
        if outcome.raised is not None:
            raise outcome.raised
        if outcome.trapped:
            raise self._why_trapped(export, outcome)
        raise PluginCallError(self.plugin, export, outcome.code, self.reason_of(outcome))

    def _why_trapped(self, export: str, outcome: CallOutcome) -> CompatError:
        said = self.border.voice.last_words()
        if self.stopping.is_set():
            return GuestStoppedError(self.plugin, export)
        if self.border.fault is not None:
            return fault_error(self.plugin, export, self.border.fault, self.border.limits)
        if self.border.exit_code is not None:
            return PluginExitError(self.plugin, export, self.border.exit_code, said=said)
        memory = self.border.memory_near(self._ceilings.memory) if self._ceilings else None
        return PluginTrapError(self.plugin, export, self._redact(outcome.error or ""), said=said, memory=memory)

    def reason_of(self, outcome: CallOutcome) -> str:
        """Why a call failed, in the plugin's words and without secrets; empty if it gave no reason."""
        return failure_reason(outcome, self._redact)

    def _current_timeout(self) -> float:
        return (self._current.timeout if self._current else None) or 0.0

    def _observe(self, direction: Direction, name: str, data: bytes) -> None:
        if self._observer is not None:
            self._observer(Crossing(self.name, direction, name, data, time.monotonic_ns()))

    # The guest's thread

    def _run(self) -> None:
        try:
            try:
                check_links()
                linked = link(self._wasm, self._ceilings)
                self._instance = Instance(linked.manifest, self.border.exchange)
            except InstantiationError as error:
                self._discarded = True
                self._serve(PluginTrapError(self.plugin, "", str(error)))
            except CompatError as error:
                self._discarded = True
                self._serve(error)
            else:
                broken = self._initialise(linked.initialisers)
                self._initialised = broken is None
                self._discarded = self._discarded or broken is not None
                self._serve(broken)
        finally:
            with self._lock:
                self._ended.set()
            self._jobs.refuse(self._stopped)
            if self._instance is not None:
                self._instance.free()
            self._watch.died(self)
            self.border.voice.tell_left_out()  # at last: a logger may raise

    def _initialise(self, exports: tuple[str, ...]) -> BaseException | None:
        """Make the calls that initialise the module. Returns why they failed."""

        def work() -> None:
            for export in exports:
                self.judge(INITIALISER_NAMES[export], self._enter(export, b""))

        if not exports:
            return None
        job = Job(work, "initialisation", self._initialise_timeout)
        self._perform(job)
        return job.future.exception()

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
        with self._lock:
            self._current = job
            if job.timeout is not None:
                self._deadline = self._watch.clock() + job.timeout
                self._watch.look_after(self, self._deadline)
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
            settle(job.future, error=error)
        else:
            settle(job.future, result=result)
        finally:
            with self._lock:
                self._current = self._deadline = None
                self._discarded = self._discarded or self._expired

    def _stopped(self, job: Job) -> GuestStoppedError:
        return GuestStoppedError(self.plugin, job.name)

    # Any thread

    def stop(self) -> None:
        """Begin to stop: no further call runs, the running one is cancelled. Does not wait."""
        with self._lock:
            if self._stop_since is not None:
                return
            self._stop_since = self._watch.clock()
            self.stopping.set()
            self._jobs.end()
        self._watch.look_after(self, self._stop_since)

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
                self.stopping.set()  # it is discarded, and a host function that waits has to let go
            if begun is None:
                return None
        if instance is not None:
            instance.cancel()
        if now - begun > self._watch.linger_after and not self._lingering:
            self._give_up(job)
        return now

    def _give_up(self, job: Job | None) -> None:
        """Cancelling did not help so far: release whoever waits, and keep counting the guest."""
        self._lingering = self._discarded = True
        refusal: Callable[[Job], Exception] = self._stopped
        if job is not None:
            error: Exception = self._stopped(job)
            if self._expired:
                error = PluginTimeoutError(self.plugin, job.name, job.timeout or 0.0)
                if not self._initialised:
                    refusal = lambda _: error  # noqa: E731 - every later call fails for the same reason
            settle(job.future, error=error)
        self._jobs.refuse(refusal)
        self.stop()
        # At exit nobody can do anything about it any more, and logging would print it to a stderr that should be empty.
        level = logging.DEBUG if self._watch.exiting else logging.WARNING
        # The last thing, as the user's logger may raise.
        self._logger.log(
            level, "guest %s does not stop (asleep, or being instantiated); it lingers until it wakes", self.name
        )
