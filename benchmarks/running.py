"""Runs the groups of the table: cases in turns, each in a process of its own. Sees whether the machine is idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import attrs

from benchmarks.cases import Case, CaseError, Outcome, run_apart
from benchmarks.rows import Group, Round, Row

__all__ = ["QUICK_ROUNDS", "Measured", "Result", "measure", "quickened", "read"]

QUICK_ROUNDS = 2
_QUICK = 4  # times fewer messages
_NOISY = 0.15  # of itself, by which the same work may take longer
_WORK = 400_000  # steps of the loop that is timed between cases

#: Runs one case; another one in tests.
Runner = Callable[[Case], Outcome]


@attrs.frozen
class Result:
    """What a group came to.

    Attributes:
        rounds: The values of every round that was whole.
        problems: By case, what was wrong with it, the latest of it.
        noise: By how much of itself the same work took longer at other times than at its quickest; the slowest fifth
            of the times does not count.
    """

    rounds: list[Round]
    problems: dict[str, str]
    noise: float

    @property
    def noisy(self) -> bool:
        """Whether other work on the machine disturbed it."""
        return self.noise > _NOISY

    def values(self) -> dict[str, dict[str, float]]:
        """The median of every value of every case."""
        cases = {case for round_ in self.rounds for case in round_}
        return {case: _medians([round_[case] for round_ in self.rounds if case in round_]) for case in sorted(cases)}


@attrs.frozen
class Measured:
    """What a row came to: the median of its rounds, and the least and the most of them.

    Attributes:
        row: The row.
        value: ``None`` where it could not be measured; ``problem`` says why.
        spread: The least and the most.
        cpu: The same by processor time.
        problem: Why there is no value, or why it does not count.
        noisy: Whether other work disturbed it.
    """

    row: Row
    value: float | None
    spread: tuple[float, float] | None = None
    cpu: float | None = None
    problem: str = ""
    noisy: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether what is to be reached was; ``None`` if there is nothing to reach."""
        if not self.row.wanted:
            return None
        return self.value is not None and not self.problem and self.row.reaches(self.value)


def quickened(group: Group) -> Group:
    """A group with fewer rounds of fewer messages."""
    cases = {
        name: attrs.evolve(case, count=max(case.count // _QUICK, min(case.count, 5)))
        for name, case in group.cases.items()
    }
    return attrs.evolve(group, cases=cases, rounds=min(group.rounds, QUICK_ROUNDS))


def measure(
    group: Group,
    *,
    go_host: str | None,
    run: Runner = run_apart,
    told: Callable[[str], object] = lambda _: None,
) -> Result:
    """Run a group.

    Args:
        group: The group.
        go_host: The Go host's program; ``None``: there is none, and its cases are left out.
        run: Runs one case.
        told: Given the name of each case before it runs.
    """
    cases = {name: case for name, case in group.cases.items() if case.what != "go" or go_host is not None}
    rounds: list[Round] = []
    problems: dict[str, str] = {}
    calibrations = []
    for _ in range(group.rounds):
        values: dict[str, Mapping[str, float]] = {}
        for name, case in cases.items():
            told(name)
            calibrations.append(_calibrate())
            try:
                outcome = run(attrs.evolve(case, go_host=go_host or ""))
            except CaseError as error:
                problems[name] = str(error)
                continue
            values[name] = outcome.values
            if outcome.problems:
                problems[name] = "; ".join(outcome.problems[:2])
        rounds.append(values)
    calibrations.append(_calibrate())
    return Result(rounds, problems, _noise(calibrations))


def read(row: Row, result: Result) -> Measured:
    """Read a row from what its group came to."""
    problem = next(
        (f"{case}: {said}" for case, said in result.problems.items() if not row.uses or case in row.uses), ""
    )
    values, cpu = [], []
    for round_ in result.rounds:
        try:
            values.append(row.value(round_))
            cpu += [row.cpu(round_)] if row.cpu else []
        except KeyError as missing:
            problem = problem or f"not measured: {missing.args[0]}"
    if not values:
        return Measured(row, None, problem=problem, noisy=result.noisy)
    spread = min(values), max(values)
    return Measured(
        row, statistics.median(values), spread, statistics.median(cpu) if cpu else None, problem, result.noisy
    )


def _medians(values: list[Mapping[str, float]]) -> dict[str, float]:
    names = {name for value in values for name in value}
    return {name: statistics.median([value[name] for value in values if name in value]) for name in sorted(names)}


def _noise(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[(len(ordered) - 1) * 4 // 5] / ordered[0] - 1


def _calibrate() -> float:
    """The seconds that the same work takes: on an idle machine always the same."""
    begun = time.perf_counter()
    total = 0
    for number in range(_WORK):
        total += number
    return time.perf_counter() - begun
