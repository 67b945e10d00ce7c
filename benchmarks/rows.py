"""The table of ``make bench``: what is run, what is read from it, and what is to be reached. It runs nothing.

A group is a set of cases that take turns, round after round, so that all meet the same noise. A row reads one figure
from each round of a group; what counts is the median.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from benchmarks.cases import Case

__all__ = ["GROUPS", "ROWS", "Group", "Round", "Row"]

#: The values of each case of a group, in one round.
Round = Mapping[str, Mapping[str, float]]


@attrs.frozen
class Group:
    """Cases that take turns.

    Attributes:
        cases: By name.
        rounds: How often each runs.
        quick: Whether ``--quick`` runs it, with ``quick_rounds``.
    """

    cases: Mapping[str, Case]
    rounds: int = 3
    quick: bool = False


@attrs.frozen
class Row:
    """A measure.

    Attributes:
        group: The group that it is read from.
        measure: What is measured, in words.
        before: What it was.
        wanted: What is to be reached, in words; empty: nothing, the row is there to be compared with.
        value: Reads it from a round.
        reaches: Whether a value will do.
        form: How a value is written.
        cpu: The same figure by processor time, where there is one.
        uses: The cases of the group that it is read from; empty: all.
    """

    group: str
    measure: str
    before: str
    wanted: str
    value: Callable[[Round], float]
    reaches: Callable[[float], bool] = lambda _: True
    form: str = "{:.2f} x"
    cpu: Callable[[Round], float] | None = None
    uses: tuple[str, ...] = ()


_MB = 2**20 / 1e6


def _in_process(plugin: str) -> Group:
    go = Case("go", plugin, count=20_000, reclaiming=True)
    return Group(
        {
            "product": Case("product", plugin, count=20_000),
            "items": Case("product", plugin, count=20_000, by="items"),
            "bare": Case("bare", plugin, count=20_000),
            "plain-sdk": Case("plain-sdk", plugin, count=5_000),
            "go": go,
            "go-plain": attrs.evolve(go, reclaiming=False, count=5_000),
        },
        rounds=5,
        quick=True,
    )


def _ten() -> Group:
    def sockets(plugin: str, trouble: str = "") -> Case:
        return Case("sockets", plugin, streams=10, count=1_600, rate=160, trouble=trouble)

    cases = {"plain": Case("plain-consumer", streams=10, count=1_600, rate=160)}
    for plugin in ("generic", "legacy"):
        cases |= {plugin: sockets(plugin), f"{plugin}-slow": sockets(plugin, "slow")}
        cases |= {f"{plugin}-flood": sockets(plugin, "flood")}
    return Group(cases, quick=True)


def _beside_plain(plugin: str, streams: int, rate: int) -> Group:
    mine = Case("sockets", plugin, streams=streams, rate=rate, count=rate * 10)
    return Group({"plain": attrs.evolve(mine, what="plain-consumer"), plugin: mine})


def _full_speed(plugin: str) -> Group:
    inside = Case("product", plugin, count=20_000)
    return Group({"inside": inside, "sockets": attrs.evolve(inside, what="sockets")})


_ONE = Case("sockets", rate=10, count=60)

GROUPS: dict[str, Group] = {
    "generic": _in_process("generic"),
    "legacy": _in_process("legacy"),
    "two": Group(
        {"one": Case("product", count=20_000), "two": Case("product", streams=2, count=20_000)}, rounds=5, quick=True
    ),
    "rust": Group({"go": Case("product", count=20_000), "rust": Case("product", "rust", count=200_000, limit=300)}),
    "full-generic": _full_speed("generic"),
    "full-legacy": _full_speed("legacy"),
    "ten": _ten(),
    "hundred": _beside_plain("legacy", 100, 20),
    "forty": _beside_plain("generic", 40, 40),
    "one": Group(
        {
            "generic": _ONE,
            "legacy": attrs.evolve(_ONE, plugin="legacy"),
            "plain": attrs.evolve(_ONE, what="plain-consumer"),
            "bare-generic": attrs.evolve(_ONE, what="bare"),
            "bare-legacy": attrs.evolve(_ONE, what="bare", plugin="legacy"),
        }
    ),
    "opening": Group({"product": Case("opening"), "bare": Case("bare-opening")}, quick=True),
    "memory": Group(
        {"product": Case("guest-memory", streams=10, count=200), "bare": Case("bare-memory", streams=10, count=200)}
    ),
    "many-legacy": Group({"many": Case("many", "legacy", streams=500, count=5)}),
    "many-generic": Group({"many": Case("many", streams=100, count=20)}),
    "starting": Group({"starting": Case("starting", count=11)}, quick=True),
    "inspecting": Group({"inspecting": Case("inspecting", count=21)}, quick=True),
    "lock": Group(
        {
            "generic": Case("product", count=10_000, counted=True),
            "legacy": Case("product", "legacy", count=10_000, counted=True),
            "generic, 10 x 160/s": Case("sockets", streams=10, count=800, rate=160, counted=True),
            "legacy, 10 x 160/s": Case("sockets", "legacy", streams=10, count=800, rate=160, counted=True),
        }
    ),
}


def _at_least(wanted: float) -> Callable[[float], bool]:
    return lambda value: value >= wanted


def _at_most(wanted: float) -> Callable[[float], bool]:
    return lambda value: value <= wanted


def _faster(group: str, measure: str, before: str, wanted: float | None, mine: str, theirs: str) -> Row:
    """How many times as many messages a second the one has as the other."""
    return Row(
        group,
        measure,
        before,
        f"≥ {wanted:g}" if wanted else "",
        lambda round_: round_[mine]["rate"] / round_[theirs]["rate"],
        _at_least(wanted or 0),
        cpu=lambda round_: round_[theirs]["cpu"] / round_[mine]["cpu"],
        uses=(mine, theirs),
    )


def _later(group: str, measure: str, before: str, mine: str, extra: float) -> Row:
    """How much later than with a plain consumer the last of a hundred messages comes, in milliseconds."""
    return Row(
        group,
        measure,
        before,
        f"≤ plain + {extra:g} ms",
        lambda round_: round_[mine]["p99"] - round_["plain"]["p99"],
        _at_most(extra),
        "plain {:+.1f} ms",
        uses=(mine, "plain"),
    )


def _figure(group: str, measure: str, before: str, wanted: str, case: str, name: str, most: float, form: str) -> Row:
    """One value of one case, in its own unit."""
    return Row(group, measure, before, wanted, lambda round_: round_[case][name], _at_most(most), form, uses=(case,))


def _times(group: str, measure: str, before: str, most: float, mine: str, theirs: str, name: str) -> Row:
    """How many times as much of something one case has as another."""
    return Row(
        group,
        measure,
        before,
        f"≤ {most:g} x",
        lambda round_: round_[mine][name] / round_[theirs][name],
        _at_most(most),
        uses=(mine, theirs),
    )


def _of_one(group: str, measure: str, before: str, most: float, case: str, mine: str, theirs: str) -> Row:
    """How many times as much of one value as of another a case has."""
    return Row(
        group,
        measure,
        before,
        f"≤ {most:g} x",
        lambda round_: round_[case][mine] / round_[case][theirs],
        _at_most(most),
    )


def _of_kind(kind: str, before: str, bare: float) -> list[Row]:
    ran = f"{kind}, in process"
    return [
        _faster(kind, f"{ran}, against the bare loop", before, bare, "product", "bare"),
        _faster(kind, f"{ran}, against the Go host (reclaiming)", "-", 3, "product", "go"),
        _faster(kind, f"{ran}, against the Go host (plain, its first messages)", "-", None, "product", "go-plain"),
        _faster(kind, f"{ran}, against the plain SDK (its first messages)", "-", None, "product", "plain-sdk"),
        _faster(kind, f"{ran}, one by one against in batches", "-", None, "items", "product"),
    ]


def _ten_of(kind: str, before: str) -> list[Row]:
    core = Row(
        "ten",
        f"10 x 160/s over sockets, {kind}: of a core",
        "125 %" if kind == "generic" else "-",
        "< 50 %",
        lambda round_: round_[kind]["core"],
        lambda value: value < 50,
        "{:.0f} %",
        uses=(kind,),
    )
    return [
        _later("ten", f"10 x 160/s over sockets, {kind}: p99", before, kind, 2),
        core,
        _times("ten", f"one slow consumer among ten, {kind}: the others' p99", "-", 2, f"{kind}-slow", kind, "p99"),
        _times("ten", f"one flooded among ten, {kind}: the others' p99", "x 130", 2, f"{kind}-flood", kind, "p99"),
    ]


def _loaded(round_: Round) -> float:
    return len({name.rpartition(" ")[2] for name in round_["starting"] if " loads " in name})


ROWS: tuple[Row, ...] = (
    *_of_kind("generic", "0.36-0.42", 1.2),
    *_of_kind("legacy", "0.22-0.30", 1.0),
    _faster("two", "two generic streams against one, in process", "-", 1.7, "two", "one"),
    _faster("rust", "a generic plugin in Rust against the one in Go", "decays", 4, "rust", "go"),
    Row(
        "rust",
        "its last of 200,000 messages against its first",
        "decays",
        "flat: ≥ 0.9",
        lambda round_: round_["rust"]["flat"],
        _at_least(0.9),
        uses=("rust",),
    ),
    _faster(
        "full-generic", "socket → consumer at full speed against in process, generic", "-", 0.7, "sockets", "inside"
    ),
    _faster("full-legacy", "socket → consumer at full speed against in process, legacy", "-", 0.7, "sockets", "inside"),
    *_ten_of("generic", "not kept up"),
    *_ten_of("legacy", "330 ms"),
    _later("hundred", "100 legacy x 20/s: p99", "-", "legacy", 5),
    _later("forty", "40 generic x 40/s: p99", "-", "generic", 5),
    _times(
        "one",
        "1 generic x 10/s: p50, against the bare loop's with one message",
        "2 ms",
        2,
        "generic",
        "bare-generic",
        "p50",
    ),
    _times("one", "1 legacy x 10/s: p50, likewise", "2 ms", 2, "legacy", "bare-legacy", "p50"),
    _times("opening", "open, warm, against bare Extism", "-", 1.2, "product", "bare", "warm"),
    _times("opening", "open, cold, against bare Extism", "-", 1.1, "product", "bare", "cold"),
    Row(
        "memory",
        "memory of a generic guest, beyond a bare one's",
        "-",
        "≤ + 4 MiB",
        lambda round_: round_["product"]["each"] - round_["bare"]["each"],
        _at_most(4),
        "{:+.1f} MiB",
    ),
    Row(
        "many-legacy",
        "memory of 500 legacy streams",
        "-",
        "< 300 MB",
        lambda round_: round_["many"]["resident"] * _MB,
        _at_most(300),
        "{:,.0f} MB",
    ),
    Row(
        "many-generic",
        "memory of 100 generic streams",
        "-",
        "< 1,800 MB",
        lambda round_: round_["many"]["resident"] * _MB,
        _at_most(1_800),
        "{:,.0f} MB",
    ),
    _figure(
        "many-generic",
        "longest block of the loop while they open",
        "4.7 s for 40",
        "< 50 ms",
        "many",
        "block",
        50,
        "{:,.0f} ms",
    ),
    _of_one("starting", "`import compat` against `python -c pass`", "-", 3, "starting", "import", "pass"),
    _of_one("starting", "`plugin-compat --version` against `python -c pass`", "-", 3, "starting", "version", "pass"),
    Row(
        "starting",
        "heavy packages that either loads (httpx, rich, wasmtime, extism)",
        "-",
        "none",
        _loaded,
        _at_most(0),
        "{:.0f}",
    ),
    _of_one(
        "inspecting",
        "`inspect` of a 3.5 MB plugin against `Module.validate`",
        "1.4-1.6",
        1.3,
        "inspecting",
        "inspect",
        "validate",
    ),
)
