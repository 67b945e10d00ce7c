"""Whether the installed Extism links a guest with its companion, and what follows where it does not."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest

from adapters.companion.border import Border
from adapters.companion.linking import Linked, link
from adapters.runtime import links
from adapters.runtime.errors import TESTED_EXTISM, UnsupportedRuntimeError
from adapters.runtime.links import check_links
from adapters.voice import Voice
from detectors.errors import MachineError, PluginError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.adapters.runtime.conftest import MakeGuest

Modules = list[dict[str, str]]


@pytest.fixture(autouse=True)
def found_out_anew() -> Iterator[None]:
    """What another test has found out is not known in this one, nor the other way round."""
    links._try_links.cache_clear()
    yield
    links._try_links.cache_clear()


def linking_as(change: Callable[[Modules], Modules]) -> Callable[[bytes], Linked]:
    """Linking that puts other modules into the manifest."""

    def changed(wasm: bytes) -> Linked:
        linked = link(wasm)
        manifest: dict[str, Any] = msgspec.json.decode(linked.manifest)
        manifest["wasm"] = change(manifest["wasm"])
        return attrs.evolve(linked, manifest=msgspec.json.encode(manifest))

    return changed


def refused(_: bytes) -> Linked:
    raise PluginError("the module has nobody beside it")


BROKEN: dict[str, tuple[Callable[[bytes], Linked], str]] = {
    "no companion": (linking_as(lambda modules: modules[1:]), "compat"),
    "no shim": (linking_as(lambda modules: [item for item in modules if item["name"] != "compat:shim"]), "shim"),
    "names are lost": (linking_as(lambda modules: [dict([*item.items()][1:]) for item in modules]), ""),
    "the guest alone": (linking_as(lambda modules: modules[1:2]), ""),
    "nothing is initialised": (lambda wasm: attrs.evolve(link(wasm), initialisers=()), "a call does not come through"),
    "no manifest": (lambda wasm: attrs.evolve(link(wasm), manifest=b"{"), "Unknown manifest format"),
    "an error of our own": (refused, "the module has nobody beside it"),
}


def test_the_installed_extism_links_as_it_has_to() -> None:
    check_links()
    assert links._problem() == ""


@pytest.mark.parametrize("how", BROKEN)
def test_one_that_does_not_is_named_with_its_version_and_a_remedy(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    broken, problem = BROKEN[how]
    monkeypatch.setattr(links, "link", broken)
    with pytest.raises(UnsupportedRuntimeError) as caught:
        check_links()
    version = importlib.metadata.version("extism-sys")
    assert caught.value.message.startswith(f"Extism {version} does not link plugins as it has to: ")
    assert problem in caught.value.message
    assert not caught.value.message.endswith(": ")
    assert (caught.value.installed, TESTED_EXTISM in caught.value.remedy) == (version, True)
    assert isinstance(caught.value, UsageError)  # no plugin is to blame


def test_that_it_works_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def counted(wasm: bytes) -> Linked:
        asked.append(wasm)
        return link(wasm)

    monkeypatch.setattr(links, "link", counted)
    for _ in range(3):
        check_links()
    assert len(asked) == 1


def test_a_failure_is_not_kept_as_the_machine_may_recover(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXTISM_CACHE_CONFIG", str(tmp_path / "missing.toml"))
    for _ in range(2):
        with pytest.raises(MachineError, match="No such file or directory"):
            check_links()
    monkeypatch.delenv("EXTISM_CACHE_CONFIG")
    check_links()


def test_the_version_that_is_named_is_the_one_that_is_pinned() -> None:
    constraints = Path(__file__).parents[3] / "constraints.txt"
    assert f"extism-sys=={TESTED_EXTISM}" in constraints.read_text().splitlines()


class Unheard(Voice):
    """What a guest prints goes astray."""

    def stderr(self, data: bytes) -> None:
        assert data == b"ok"


def test_printing_that_goes_astray_counts_as_not_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "Voice", Unheard)
    with pytest.raises(UnsupportedRuntimeError, match="a call of the host does not come through"):
        check_links()


def test_an_answer_that_goes_astray_counts_as_not_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(Border):
        def _write(self, window: Any, at: int, room: int, answers: list[bytes], **grants: bool) -> int:
            return 0 if answers == [links._ANSWER] else super()._write(window, at, room, answers, **grants)

    monkeypatch.setattr(links, "Border", Forgetful)
    with pytest.raises(UnsupportedRuntimeError, match="a call does not come through"):
        check_links()


async def test_every_guest_fails_with_it_and_none_blames_its_plugin(
    make_guest: MakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "link", refused)
    for guest in (make_guest(), make_guest()):
        for export in ("echo", "count"):
            with pytest.raises(UnsupportedRuntimeError, match="does not link plugins"):
                await guest.call(export, b"")
        assert not guest.usable
