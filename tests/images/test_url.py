"""Fetching by URL: what is refused before anything is asked, and a server on loopback that misbehaves."""

import socket
import time
from collections.abc import Iterator

import pytest
from webserver import Server, web_server

from imgvec_pg.errors import ImageError, MissingExtraError, UsageError
from imgvec_pg.images.fetching import host_backoff, http_client
from imgvec_pg.images.fetching import url as remote
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.fetching.host_backoff import HostCircuitBreakers
from imgvec_pg.images.fetching.http_client import LaterError
from imgvec_pg.images.fetching.http_connection import HostError
from imgvec_pg.images.fetching.url import AllowedUrls, fetch_url
from imgvec_pg.images.fetching.url_rules import check_url, parse_prefix, parse_url
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.network_addresses import is_allowed

PICTURE = b"\xff\xd8\xff picture" * 100
LOOPBACK = "127.0.0.0/8"
ANYWHERE = ("http://*", "https://*")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with web_server(PICTURE) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "breakers", HostCircuitBreakers())


@pytest.fixture
def local(server: Server, monkeypatch: pytest.MonkeyPatch) -> AllowedUrls:
    """Allow this server, and nothing else of the loopback network's names."""
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", LOOPBACK)
    return AllowedUrls.of([server.url])


def refusal(url: str, allowed: AllowedUrls, max_image_bytes: int = 1_000_000) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetch_url(url, allowed, max_image_bytes)
    assert "\n" not in str(caught.value)
    return caught.value


def test_no_url_is_fetched_by_default(server: Server) -> None:
    with pytest.raises(ImageError, match="--url") as caught:
        fetch_bytes(ImageReference(path=f"{server.url}/picture"), None)
    assert caught.value.code == "scheme_denied"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://h/a.jpg",
        "data:image/png;base64,AA",
        "gopher://h/",
        "http://user@h/a.jpg",
        "https://user:secret@h/a.jpg",
        "https://h\\@evil/",
        "http://",
        "http:///a.jpg",
        "http://h:99999/",
        "http://h/a\nb",
        "http://[::1/",
        "s3://bucket",
        "s3://bucket/a::file:///etc/passwd",
    ],
)
def test_other_kinds_of_urls_are_denied(url: str) -> None:
    error = refusal(url, AllowedUrls.of(ANYWHERE))
    assert (error.code, error.transient) == ("scheme_denied", False)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "localhost",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
    ],
)
def test_addresses_that_are_not_public_are_denied(host: str) -> None:
    # Were one connected to, the answer would be another: nothing listens on port 9.
    error = refusal(f"http://{host}:9/a.jpg", AllowedUrls.of(["http://*:9"]))
    assert (error.code, error.transient) == ("address_denied", False), str(error)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


def test_a_network_is_allowed_by_the_machine_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(f"{server.url}/picture", AllowedUrls.of([server.url])).code == "address_denied"
    assert server.asked == []
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", f"10.0.0.0/8, {LOOPBACK}")
    assert fetch_url(f"{server.url}/picture", AllowedUrls.of([server.url])) == PICTURE
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "somewhere")
    with pytest.raises(UsageError, match=r"10\.1\.2\.0/24"):
        AllowedUrls.of([server.url])


def test_a_name_that_changes_its_address_is_asked_at_the_one_looked_at(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebinding name: public for the first look, this machine for the second."""
    answers = iter(["203.0.113.7", "127.0.0.1", "127.0.0.1"])
    real = socket.getaddrinfo
    looks = []

    def rebinding(host: str, *arguments: object, **options: object) -> object:
        if host != "rebinding.example":
            return real(host, *arguments, **options)  # type: ignore[arg-type]
        looks.append(host)
        return real(next(answers), *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    allowed = AllowedUrls.of([f"http://rebinding.example:{server.server_port}"])
    url = f"http://rebinding.example:{server.server_port}/picture"
    before = len(server.asked)
    assert refusal(url, allowed).code == "address_denied"  # 203.0.113.0/24 is for documentation
    assert refusal(url, allowed).code == "address_denied"
    assert looks == ["rebinding.example"] * 2, "one look for each connection"
    assert len(server.asked) == before


def test_the_address_that_was_really_connected_counts(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies between the look and the connection, such as a proxy in the network's own configuration."""
    real = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda address, *rest: real(("127.0.0.1", server.server_port), *rest)
    )
    monkeypatch.setattr(
        "imgvec_pg.images.fetching.http_connection.resolve", lambda url, deadline: ["8.8.8.8"]
    )
    before = len(server.asked)
    error = refusal("http://h.example/picture", AllowedUrls.of(["http://*"]))
    assert error.code == "address_denied" and "127.0.0.1" in str(error)
    assert len(server.asked) == before


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http:||169.254.169.254|latest", "address_denied"),
        ("http:||[::1]|x", "address_denied"),
        ("http:||[::1]:80|x", "address_denied"),
        ("file:|||etc|passwd", "scheme_denied"),
        ("ftp:||h|x", "scheme_denied"),
        ("http:||user:pw@h|x", "scheme_denied"),
        ("https:||h|x", "scheme_denied"),
    ],
)
def test_redirects_are_checked_as_the_url_is(
    server: Server, monkeypatch: pytest.MonkeyPatch, target: str, code: str
) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", LOOPBACK)
    allowed = AllowedUrls.of([server.url, "http://*"])
    assert refusal(f"{server.url}/to/{target}", allowed).code == code
    # Whatever its path is turned into on the way is what the server gives back.
    server.echoes = True
    assert refusal(f"{server.url}/to/{target}", allowed).code == code


def test_redirects_stay_within_the_prefixes(server: Server, local: AllowedUrls) -> None:
    assert refusal(f"{server.url}/to/http:||127.0.0.1:9|x", local).code == "address_denied"
    assert fetch_url(f"{server.url}/to/|picture", local) == PICTURE
    assert refusal(f"{server.url}/loop", local).code == "fetch_limit"


@pytest.mark.parametrize(
    "path", ["picture", "chunked", "zipped", "picture?signature=secret", "to/|to||picture"]
)
def test_pictures_are_fetched(server: Server, local: AllowedUrls, path: str) -> None:
    assert fetch_url(f"{server.url}/{path}", local) == PICTURE


def test_chunks_without_a_size_are_told(server: Server, local: AllowedUrls) -> None:
    error = refusal(f"{server.url}/badchunk", local)
    assert (error.code, error.transient) == ("fetch_limit", True)
    assert str(error).endswith("is damaged, or ended before the last chunk")


@pytest.mark.parametrize(
    ("path", "transient"),
    [
        ("trickle", True),
        ("slowheaders", True),
        ("silent", True),
        ("endless", False),
        ("huge", False),
        ("short", True),
        ("badchunk", True),
        ("bomb", False),
    ],
)
def test_what_takes_too_long_or_too_much_is_limited(
    server: Server, local: AllowedUrls, monkeypatch: pytest.MonkeyPatch, path: str, transient: bool
) -> None:
    # Those that are too much are ended by their bytes, however slow the machine is that counts them.
    seconds = 0.4 if path in ("trickle", "slowheaders", "silent") else 60.0
    monkeypatch.setattr(
        remote, "download", lambda *arguments: http_client.download(*arguments, seconds=seconds)
    )
    before = time.monotonic()
    error = refusal(f"{server.url}/{path}", local)
    assert (error.code, error.transient, error.counts_as_attempt) == ("fetch_limit", transient, True), str(
        error
    )
    assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    ("path", "code", "transient", "counts_as_attempt"),
    [
        ("status/404", "not_found", True, True),
        ("status/410", "not_found", False, True),
        ("status/403", "fetch_failed", False, True),
        ("status/500", "fetch_failed", True, True),
        ("status/204", "fetch_failed", False, True),
        ("status/429/7", "fetch_later", True, False),
        ("status/503/7", "fetch_later", True, False),
        ("status/503", "fetch_later", True, False),
        ("nonsense", "fetch_failed", True, True),
        ("headers", "fetch_failed", True, True),
    ],
)
def test_answers_of_servers(
    server: Server, local: AllowedUrls, path: str, code: str, transient: bool, counts_as_attempt: bool
) -> None:
    error = refusal(f"{server.url}/{path}?token=secret", local)
    assert (error.code, error.transient, error.counts_as_attempt) == (code, transient, counts_as_attempt), (
        str(error)
    )
    assert "secret" not in str(error)
    if path.endswith("/7"):
        assert error.retry_after_seconds == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 1),
        ("9" * 9, 3600),
        ("nonsense", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
        (None, None),
    ],
)
def test_retry_after_is_read_and_bounded(value: str | None, seconds: float | None) -> None:
    assert http_client._retry_after_seconds(value) == seconds


def test_a_host_that_says_later_opens_its_circuit_breaker_and_no_other(
    server: Server, local: AllowedUrls
) -> None:
    assert refusal(f"{server.url}/status/503/500", local).code == "fetch_later"
    before = len(server.asked)
    error = refusal(f"{server.url}/picture", local)
    assert (error.code, error.counts_as_attempt) == ("fetch_later", False)
    assert error.retry_after_seconds is not None and 300 < error.retry_after_seconds < 800
    assert len(server.asked) == before, "it was asked all the same"
    with web_server(PICTURE) as other:
        assert fetch_url(f"{other.url}/picture", AllowedUrls.of([other.url])) == PICTURE


def test_a_host_that_is_down_counts_as_an_attempt_of_its_pictures_after_a_long_while_only(
    local: AllowedUrls, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakers = remote.breakers
    now = [1000.0]
    monkeypatch.setattr(host_backoff.time, "monotonic", lambda: now[0])
    url = parse_url("http://down.example/a.jpg")
    cool_downs = []
    while now[0] < 1000 + host_backoff.FREE_DOWN_SECONDS:
        error = HostError("fetch_failed", "no answer", transient=True)
        breakers.record_failure(url, error)
        assert not error.counts_as_attempt
        assert error.retry_after_seconds is not None
        cool_downs.append(error.retry_after_seconds)
        now[0] += error.retry_after_seconds + 1
        breakers.require_not_open(url)
    assert cool_downs[:3] == [2, 4, 8] and max(cool_downs) <= host_backoff.MAX_COOL_DOWN_SECONDS
    error = HostError("fetch_failed", "no answer", transient=True)
    breakers.record_failure(url, error)
    assert error.counts_as_attempt
    with pytest.raises(ImageError) as caught:
        breakers.require_not_open(url)
    assert (caught.value.code, caught.value.counts_as_attempt) == ("fetch_failed", True)
    breakers.record_answer(url)
    breakers.require_not_open(url)


def test_one_picture_that_is_always_told_later_is_counted_in_the_end() -> None:
    breakers = HostCircuitBreakers()
    url = parse_url("http://h.example/a.jpg")
    counted = []
    for _ in range(host_backoff.FREE_LATERS + 1):
        error = LaterError("fetch_later", "later", transient=True, counts_as_attempt=False)
        breakers.record_later(url, error)
        counted.append(error.counts_as_attempt)
    assert counted == [False] * host_backoff.FREE_LATERS + [True]


def test_a_name_without_an_address_waits_for_its_host(
    local: AllowedUrls, caplog: pytest.LogCaptureFixture
) -> None:
    error = refusal("http://nowhere.invalid/a.jpg", AllowedUrls.of(["http://*"]))
    assert (error.code, error.transient, error.counts_as_attempt) == ("fetch_failed", True, False)
    refusal("http://nowhere.invalid/b.jpg", AllowedUrls.of(["http://*"]))
    (said,) = caplog.messages
    assert said.startswith(
        "circuit breaker open for nowhere.invalid: its pictures are delayed (its host has no address ("
    )


@pytest.mark.parametrize(
    ("prefix", "allowed", "refused"),
    [
        ("https://a.example", "https://A.EXAMPLE./x?y", "https://b.a.example/x"),
        ("https://a.example", "https://a.example:443/", "https://a.example:444/"),
        ("https://*.example", "https://b.a.example/x", "https://example/x"),
        ("https://*", "https://b\u00fccher.example/x", "http://a.example/x"),
        ("https://a.example/pic", "https://a.example/pic/x", "https://a.example/picture"),
        ("https://a.example/pic/", "https://a.example/pic?x", "https://a.example/"),
        ("s3://bucket", "s3://bucket/a?b c.jpg", "s3://bucket2/a"),
        ("s3://bucket/pic", "s3://bucket/pic/x", "s3://bucket/x"),
    ],
)
def test_prefixes(prefix: str, allowed: str, refused: str) -> None:
    prefixes = [parse_prefix(prefix)]
    check_url(parse_url(allowed), prefixes)
    with pytest.raises(ImageError):
        check_url(parse_url(refused), prefixes)


@pytest.mark.parametrize("path", ["../x", "pic/../../x", "pic/%2e%2e/x", "pic/./x"])
def test_urls_that_climb_are_denied(path: str) -> None:
    with pytest.raises(ImageError) as caught:
        check_url(parse_url(f"https://a.example/{path}"), [parse_prefix("https://a.example/pic")])
    assert caught.value.code in ("path_denied", "address_denied")


@pytest.mark.parametrize(
    "prefix", ["*", "https://", "ftp://h", "https://*h", "https://u:p@h", "https://h/?q", "s3://", "/srv"]
)
def test_nonsense_is_no_prefix(prefix: str) -> None:
    with pytest.raises(UsageError, match=r"https://images\.example\.com"):
        parse_prefix(prefix)


def test_stores_are_read_through_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fsspec's own store in memory in the place of S3; no service is asked."""
    fsspec = pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"
        store: dict[str, object] = {}  # noqa: RUF012 - as its parent has it

    known = dict(fsspec.registry)
    fsspec.register_implementation("s3", Store, clobber=True)
    try:
        Store().pipe("/bucket/pic/a.jpg", PICTURE)
        allowed = AllowedUrls.of(["s3://bucket/pic"])
        assert fetch_url("s3://bucket/pic/a.jpg", allowed) == PICTURE
        assert refusal("s3://bucket/pic/none.jpg", allowed).code == "not_found"
        assert refusal("s3://bucket/pic/a.jpg", allowed, max_image_bytes=100).code == "fetch_limit"
        assert refusal("s3://bucket/other.jpg", allowed).code == "address_denied"
        assert refusal("s3://bucket/pic/../other.jpg", allowed).code == "path_denied"
    finally:
        fsspec.register_implementation("s3", known.get("s3", "s3fs.S3FileSystem"), clobber=True)


def test_a_store_whose_package_is_missing_is_no_picture_s_fault() -> None:
    with pytest.raises(MissingExtraError, match="imgvec-pg\\[azure\\]"):
        fetch_url("abfs://bucket/a.jpg", AllowedUrls.of(["abfs://bucket"]))
