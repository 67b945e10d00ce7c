"""The README's program runs as it stands, its other snippets use what there is, and so do its commands."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import compat
import compat.blocking
import compat.demo
from compat.cli import cli
from tests.support.processes import python

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_program_runs_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(import asyncio\n.*?)```", README, re.DOTALL)
    finished = python("-c", program)
    assert (finished.code, finished.err) == (0, "")
    lines = finished.out.decode().splitlines()
    assert len(lines) == 8
    assert [line.split()[0] for line in lines] == ["legacy", "0", "1", "2", "generic", "0", "1", "2"]
    assert all("Candle(" in line for line in lines if line[0].isdigit())


SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

#: What the names in the snippets stand for, in either face.
STAND_FOR = {
    "exchange": (compat.demo.Exchange,),
    "manager": (compat.StreamManager,),
    "plugin": (compat.Plugin, compat.blocking.Plugin),
    "stream": (compat.Stream, compat.blocking.Stream),
    "subscription": (compat.Subscription, compat.blocking.Subscription),
    "item": (compat.StreamData,),
    "report": (compat.ModuleReport,),
}


def parsed(snippet: str) -> ast.Module:
    """A whole program, or a fragment of a coroutine."""
    try:
        compile(snippet, "README.md", "exec")
    except SyntaxError:  # an await outside of a function
        snippet = f"async def fragment():\n{textwrap.indent(snippet, '    ')}"
    return ast.parse(snippet)


def dotted(tree: ast.Module) -> Iterator[list[str]]:
    """Every name with what is asked of it: ``compat.demo.Exchange`` as its parts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            if all(part.isidentifier() for part in parts):
                yield parts


def test_there_are_three_snippets_and_what_is_a_fragment_is_called_one() -> None:
    assert len(SNIPPETS) == 3
    for before, snippet in zip(README.split("```python\n"), SNIPPETS, strict=False):
        is_fragment = "import compat\n" not in snippet
        assert ("This is a fragment" in before.rpartition("```")[2]) is is_fragment


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_every_snippet_compiles_and_uses_what_is_public(snippet: str) -> None:
    tree = parsed(snippet)
    compile(tree, "README.md", "exec")
    names = list(dotted(tree))
    assert names
    for name, *attributes in names:
        if name == "compat":
            assert attributes[0] in {*compat.__all__, "demo"}
            found: object = compat
            for attribute in attributes:
                assert not attribute.startswith("_")
                found = getattr(found, attribute)
        elif name != "asyncio":
            assert any(hasattr(kind, attributes[0]) for kind in STAND_FOR[name])


def test_a_name_that_there_is_not_would_be_found() -> None:
    with pytest.raises(AssertionError):
        test_every_snippet_compiles_and_uses_what_is_public("compat.open_plugins()")
    with pytest.raises(AssertionError):
        test_every_snippet_compiles_and_uses_what_is_public("async with manager.follow(key): pass")


def test_every_command_is_listed_and_no_other() -> None:
    (table,) = (part for part in README.split("\n\n") if part.startswith("    plugin-compat inspect PATH"))
    listed = re.findall(r"^    plugin-compat (\w+)", table, re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands)


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 5
    for target in targets:
        assert (Path(__file__).parents[1] / target).is_file(), target
