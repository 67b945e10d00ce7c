"""Deny by default; what is declared, narrowed, widened, rewritten and private."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.net.errors import NetworkDeniedError
from adapters.net.policy import NetworkPolicy, parse_rewrite
from detectors.errors import UsageError

WS, HTTP = ("wss", "ws"), ("https", "http")
URL = "wss://api.example/ws/v1?token=s3cret"
PLAIN = NetworkPolicy()


def allows(url: str, *declared: str, policy: NetworkPolicy = PLAIN, schemes: tuple[str, ...] = WS + HTTP) -> bool:
    try:
        policy.resolve("p", url, declared, schemes)
    except NetworkDeniedError as error:
        denied = error
    else:
        return True
    assert (denied.plugin, bool(denied.rule), bool(denied.remedy)) == ("p", True, True)
    assert "s3cret" not in str(denied)
    return False


def test_nothing_is_allowed_by_default() -> None:
    assert not allows(URL)
    with pytest.raises(NetworkDeniedError, match=r"wss://api\.example/ws/v1: .* declares \(nothing\)"):
        NetworkPolicy().resolve("p", URL, (), WS)


def test_what_is_declared_is_allowed_and_returned_as_it_was_asked_for() -> None:
    assert NetworkPolicy().resolve("p", URL, ("wss://api.example/*",), WS) == URL


FITS = [
    ("wss://api.example/*", "wss://api.example"),
    ("wss://api.example/*", "wss://api.example/"),
    ("wss://api.example/*", "wss://API.Example/x"),
    ("wss://API.example/*", "wss://api.example/x"),
    ("wss://api.example", "wss://api.example/any/path"),
    ("wss://api.example/ws/*", "wss://api.example/ws/a/b"),
    ("wss://*.example/*", "wss://a.b.example/x"),
    ("wss://api?.example/*", "wss://api1.example/x"),
    ("wss://api.example:443/*", "wss://api.example/x"),
    ("wss://api.example/*", "wss://api.example:443/x"),
    ("wss://api.example:8443/*", "wss://api.example:8443/x"),
    ("wss://api.example:*/*", "wss://api.example:8443/x"),
    ("ws://api.example/*", "ws://api.example:80/x"),
    ("https://api.example/[v1]/*", "https://api.example/[v1]/x"),
    ("wss://[2001:db8::1]/*", "wss://[2001:db8::1]/x"),
    ("wss://[2001:db8::1]:9000/*", "wss://[2001:db8::1]:9000/x"),
]
MISFITS = [
    ("wss://api.example/*", "ws://api.example/x"),
    ("wss://api.example/*", "https://api.example/x"),
    ("wss://api.example/*", "wss://api.example.evil/x"),
    ("wss://api.example/*", "wss://evil-api.example/x"),
    ("wss://api.example/*", "wss://evil/api.example/x"),
    ("wss://api.example/*", "wss://evil/?wss://api.example/"),
    ("wss://api.example/*", "wss://evil#wss://api.example/"),
    ("wss://api.example/*", "wss://api.example:8443/x"),
    ("wss://api.example:8443/*", "wss://api.example/x"),
    ("wss://*.example/*", "wss://example/x"),
    ("wss://api.example/ws/*", "wss://api.example/other"),
    ("wss://api.example/", "wss://api.example/x"),
    ("wss://[ab]pi.example/*", "wss://api.example/x"),
    ("wss://[2001:db8::1]:9000/*", "wss://[2001:db8::1]/x"),
    ("wss://[2001:db8::1]/*", "wss://[2001:db8::1]:9000/x"),
    ("api.example/*", "wss://api.example/x"),
    ("*", "wss://api.example/x"),
] + [
    (pattern, url)
    for host in ("*", "**", "*.*", "?", "*:*", "*:443", "?*.*", "[*]", "[!.]*", "*.", "", "[*]:443", ":443")
    for pattern in [f"wss://{host}/*"]  # a bare wildcard is no declaration
    for url in (URL, "wss://a/x")
]


def test_a_pattern_fits_what_it_says_and_nothing_else() -> None:
    assert [row for row in FITS if not allows(row[1], "wss://other.example/*", row[0])] == []
    assert [row for row in MISFITS if allows(row[1], row[0])] == []
    assert [row for row in MISFITS if allows(row[1], policy=NetworkPolicy(also=(row[0],)))] == []


def test_the_operators_list_narrows_what_is_declared_and_widens_nothing() -> None:
    policy = NetworkPolicy(only="wss://api.example/*")
    assert allows(URL, "wss://*.example/*", policy=policy)
    assert not allows("wss://other.example/x", "wss://*.example/*", policy=policy)
    assert not allows(URL, policy=policy)
    with pytest.raises(NetworkDeniedError, match="operator's list does not include it"):
        policy.resolve("p", "wss://other.example/x", ("wss://*.example/*",), WS)


def test_an_explicit_widening_allows_what_is_neither_declared_nor_listed() -> None:
    policy = NetworkPolicy(only=("wss://api.example/*",), also=("wss://extra.example/*",))
    assert allows("wss://extra.example/x", policy=policy)
    assert not allows("wss://other.example/x", policy=policy)


@pytest.mark.parametrize("field", ["only", "also"])
def test_one_pattern_may_be_given_as_a_text(field: str) -> None:
    for given_patterns in ("wss://a/*", ["wss://a/*"]):
        options: dict[str, Any] = {field: given_patterns}
        assert getattr(NetworkPolicy(**options), field) == ("wss://a/*",)


UNUSABLE = [
    "",
    "api.example/x",
    "//api.example/x",
    "ftp://api.example/x",
    "wss:///x",
    "wss://:443/x",
    "wss://api.example:0/x",
    "wss://api.example:99999/x",
    "wss://api.example:x/x",
    "wss://[::1/x",
    "wss://api.example\\@evil/x",
    "wss:\\\\api.example/x",
]


def test_what_is_no_usable_url_is_denied_even_where_everything_is_allowed() -> None:
    policy = NetworkPolicy(also="wss://api*")
    assert [url for url in UNUSABLE if allows(url, "wss://api.example/*", "ftp://api.example/*", policy=policy)] == []


def test_a_url_of_the_wrong_scheme_for_its_use_is_denied() -> None:
    assert not allows("https://api.example/x", "https://api.example/*", schemes=WS)
    assert not allows("wss://api.example/x", "wss://api.example/*", schemes=HTTP)


def test_user_information_is_denied_and_not_shown() -> None:
    for user in ("user:s3cret", "s3cret", ":s3cret", ""):
        assert not allows(f"wss://{user}@api.example/x", "wss://api.example/*")


REWRITTEN = [
    (("wss://api.example", "ws://127.0.0.1:1"), "wss://api.example", "ws://127.0.0.1:1"),
    (("wss://api.example", "ws://127.0.0.1:1"), "wss://api.example/ws?a#b", "ws://127.0.0.1:1/ws?a#b"),
    (("wss://api.example", "ws://127.0.0.1:1"), "wss://api.example?a", "ws://127.0.0.1:1?a"),
    (("wss://api.example/", "ws://b/c/"), "wss://api.example/ws", "ws://b/c/ws"),
    (("wss://api.example/ws", "ws://b"), "wss://api.example/ws/1", "ws://b/1"),
    (("wss://api.example", "ws://b/"), "wss://api.example/ws", "ws://b/ws"),
    (("wss://api.example", "ws://b/"), "wss://api.example?a", "ws://b/?a"),
    (("wss://api.example/ws", "ws://b/c/"), "wss://api.example/ws", "ws://b/c/"),
    (("wss://api.example/", "ws://127.0.0.1:1"), "wss://api.example/8/ws", "ws://127.0.0.1:1/8/ws"),
    (("wss://api.example/", "ws://b"), "wss://api.example/", "ws://b/"),
    (("wss://api.example/w", "ws://b"), "wss://api.example/ws", "wss://api.example/ws"),
    (("wss://api.ex", "ws://b"), "wss://api.example/ws", "wss://api.example/ws"),
    (("wss://api.example", "ws://b"), "wss://api.example:8443/ws", "wss://api.example:8443/ws"),
    (("wss://other", "ws://b"), "wss://api.example/ws", "wss://api.example/ws"),
]


def test_a_prefix_is_rewritten_only_where_a_part_of_the_url_ends() -> None:
    found = []
    for rewrite, url, _ in REWRITTEN:
        policy = NetworkPolicy(also="wss://api.example:*", rewrites=(rewrite,))
        found.append((rewrite, url, policy.resolve("p", url, (), WS)))
    assert found == REWRITTEN


def test_the_first_rewrite_that_fits_is_used_once() -> None:
    rewrites = (("wss://x", "ws://no"), ("wss://a", "wss://b"), ("wss://a/1", "ws://no"), ("wss://b", "ws://no"))
    assert NetworkPolicy(rewrites=rewrites).resolve("p", "wss://a/1", ("wss://a/*",), WS) == "wss://b/1"


def test_a_rewrite_allows_nothing_by_itself() -> None:
    assert not allows(URL, policy=NetworkPolicy(rewrites=(("wss://api.example", "ws://127.0.0.1:1"),)))


@pytest.mark.parametrize("pair", [("nonsense", "ws://b"), ("wss://a", "b"), ("", "ws://b"), ("wss://", "ws://b")])
def test_what_is_no_rewrite_is_refused_at_once(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="leads from one URL prefix to another") as caught:
        NetworkPolicy(rewrites=(pair,))
    assert "wss://a.example" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        NetworkPolicy(rewrites=(("user:horse@a?token=horse", "ws://b"),))
    assert "token" not in str(caught.value)


LEADS_NOWHERE = [
    ("wss://a", "http://b", "'wss://a' to 'http://b': their protocols differ", "Replace wss://a by .* ws:// or wss://"),
    ("https://a", "ws://b", "their protocols differ", "begins with http:// or https://"),
    ("wss://a", "ftp://b", "'ftp://b' cannot be part of a rewrite: no plugin uses ftp://", "Begin it with ws://"),
    ("file://a", "ws://b", "no plugin uses file://", "Begin it with ws://"),
    ("wss://a", "ws://b:99999", "'ws://b:99999' cannot be part of a rewrite: its host or port", "from 1 to 65535"),
    ("wss://a", "ws://b:0", "its host or port is not valid", "from 1 to 65535"),
    ("wss://a", "ws://:80/x", "its host or port is not valid", "from 1 to 65535"),
    ("wss://a", "ws://b:x", "its host or port is not valid", "from 1 to 65535"),
    ("wss://a:99999", "ws://b", "'wss://a:99999' cannot be", "from 1 to 65535"),
    ("wss://a", "ws://[b", "its host or port is not valid", "an IPv6 address stands in brackets"),
    ("wss://a", "http://user:horse@b?token=horse", "to 'http://b': their", "Replace"),
]


@pytest.mark.parametrize(("prefix", "target", "problem", "remedy"), LEADS_NOWHERE)
def test_a_rewrite_that_could_never_lead_anywhere_is_refused_at_once(
    prefix: str, target: str, problem: str, remedy: str
) -> None:
    for refusing in (lambda: NetworkPolicy(rewrites=((prefix, target),)), lambda: parse_rewrite(f"{prefix}={target}")):
        with pytest.raises(UsageError, match=remedy) as caught:
            refusing()
        assert problem in caught.value.message
        assert "horse" not in str(caught.value)


def test_a_rewrite_to_user_information_is_denied() -> None:
    policy = NetworkPolicy(rewrites=(("wss://api.example", "wss://user@b"),))
    assert not allows(URL, "wss://api.example/*", policy=policy, schemes=WS)


NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "::ffff:127.0.0.1",
    "ff02::1",
    "not an address",
    "",
]


def is_public(address: str) -> bool:
    try:
        NetworkPolicy(also="wss://*.example/*").check_address("p", URL, address)
    except NetworkDeniedError as error:
        denied = error
    else:
        return True
    assert "non-public" in denied.rule
    assert "--allow-private" in denied.remedy
    return False


def test_addresses_that_are_not_public_are_denied_unless_private_ones_are_allowed() -> None:
    assert [address for address in NOT_PUBLIC if is_public(address)] == []
    for address in NOT_PUBLIC:
        NetworkPolicy(allow_private=True).check_address("p", URL, address)


def test_public_addresses_are_allowed() -> None:
    addresses = ["8.8.8.8", "93.184.216.34", "2606:4700::1111"]
    assert [address for address in addresses if is_public(address)] == addresses


odd = st.text(st.sampled_from("wss://https[]:@?#*!\\.%a1\t\n é\ud800"), max_size=30)
urls = odd | st.text(max_size=30) | st.builds("{}://{}".format, st.sampled_from(WS + HTTP), odd)


prefixes = st.builds("{}://a{}".format, st.sampled_from(WS + HTTP), odd.map(lambda text: text.replace("\n", "")))


@pytest.mark.ours
@given(urls, st.lists(urls, max_size=3), st.lists(urls, max_size=2), st.tuples(prefixes, prefixes))
def test_any_url_and_pattern_is_allowed_or_denied_and_raises_nothing_else(
    url: str, declared: list[str], listed: list[str], rewrite: tuple[str, str]
) -> None:
    try:
        policy = NetworkPolicy(only=listed, also=listed, rewrites=(rewrite,))
    except UsageError:
        policy = NetworkPolicy(only=listed, also=listed)
    try:
        policy.resolve("p", url, tuple(declared), WS + HTTP)
    except NetworkDeniedError:
        pass
    else:
        assert declared or listed


@given(urls, st.lists(urls, max_size=3), st.lists(urls, max_size=3))
def test_narrowing_never_allows_more_and_widening_never_less(url: str, declared: list[str], listed: list[str]) -> None:
    plain = allows(url, *declared)
    assert not (allows(url, *declared, policy=NetworkPolicy(only=listed)) and not plain)
    assert not (plain and not allows(url, *declared, policy=NetworkPolicy(also=listed)))


@given(st.text(max_size=30) | st.ip_addresses().map(str))
def test_any_address_is_allowed_or_denied_and_raises_nothing_else(address: str) -> None:
    rule = address
    try:
        NetworkPolicy().check_address("p", URL, address)
    except NetworkDeniedError as error:
        rule = error.rule
    else:
        assert ipaddress.ip_address(address).is_global
    assert rule.startswith(address)


def test_a_rewrite_is_read_from_text() -> None:
    assert parse_rewrite("wss://a.example/x=ws://127.0.0.1:1") == ("wss://a.example/x", "ws://127.0.0.1:1")
    assert parse_rewrite("wss://a=ws://b/?x=1") == ("wss://a", "ws://b/?x=1")
    assert parse_rewrite("wss://a/?x=1=ws://b") == ("wss://a/?x=1", "ws://b")


@pytest.mark.parametrize("text", ["", "wss://a", "wss://a=", "=ws://b", "a=b", "wss://user:s3cret@a/?s3cret"])
def test_anything_else_is_refused_without_showing_secrets(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form FROM=TO") as caught:
        parse_rewrite(text)
    assert "s3cret" not in str(caught.value)
