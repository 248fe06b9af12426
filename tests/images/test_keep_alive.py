"""Connections that are kept open: for whom, for how long, and never after an answer that leaves anything open to doubt."""

import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import pytest
import trustme
from rawserver import Hangup, RawServer, raw_server

from imgvec_pg.backfill.batch import image_loader
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching import http_client, http_connection, http_pool
from imgvec_pg.images.fetching import url as remote
from imgvec_pg.images.fetching.host_backoff import HostCircuitBreakers
from imgvec_pg.images.fetching.http_connection import HostConnection
from imgvec_pg.images.fetching.http_pool import ConnectionPool
from imgvec_pg.images.fetching.url import AllowedUrls, fetch_url

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server(GOOD) as running:
        yield running


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectionPool]:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setattr(remote, "breakers", HostCircuitBreakers())
    pool = ConnectionPool()
    monkeypatch.setattr(http_client, "connections", pool)
    yield pool
    pool.close()


def fetch(server: RawServer, path: str = "/good", limit: int = 1000) -> bytes | str:
    """Return the bytes, or the code of the error."""
    try:
        return fetch_url(f"{server.url}{path}", AllowedUrls.of([server.url]), limit)
    except ImageError as error:
        return error.code


def within(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each fetch a deadline."""
    monkeypatch.setattr(remote, "download", lambda *rest: http_client.download(*rest, seconds=seconds))


def numbers(server: RawServer) -> list[int]:
    return [number for number, _ in server.requests]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answer(head: str, body: bytes = b"") -> bytes:
    """Return an answer of head lines, joined by bars, and a body."""
    return b"HTTP/1.1 " + head.replace("|", "\r\n").encode() + b"\r\n\r\n" + body


def later(*parts: bytes, seconds: float = 0.05) -> Callable[[socket.socket], None]:
    """Return an answer that comes in parts."""

    def send(connection: socket.socket) -> None:
        for number, part in enumerate(parts):
            time.sleep(seconds if number else 0)
            connection.sendall(part)

    return send


def closing(data: bytes) -> Callable[[socket.socket], None]:
    """Return an answer after which the server closes without having said so."""

    def send(connection: socket.socket) -> None:
        connection.sendall(data)
        raise Hangup

    return send


@pytest.mark.parametrize(
    ("first", "result"),
    [
        (GOOD, b"good"),
        (CHUNKED, b"good"),
        (answer("404 None|Content-Length: 9", b"not found"), "not_found"),
        (answer("500 Error|Transfer-Encoding: chunked", b"3\r\nbad\r\n0\r\n\r\n"), "fetch_failed"),
        (answer("302 Found|Location: /good|Content-Length: 5", b"there"), b"good"),
        (answer("302 Found|Location: /good|Content-Length: 0"), b"good"),
        (answer("100 Continue") + GOOD, b"good"),
    ],
)
def test_pictures_of_one_host_share_a_connection(
    server: RawServer, first: bytes, result: bytes | str
) -> None:
    server.answers["/first"] = first
    assert fetch(server, "/first") == result
    assert fetch(server) == fetch(server) == b"good"
    assert set(numbers(server)) == {1}


@pytest.mark.parametrize(
    ("first", "result"),
    [
        pytest.param(GOOD + EVIL, b"good", id="a second answer behind the first"),
        pytest.param(GOOD + EVIL[:9], b"good", id="the beginning of one"),
        pytest.param(later(GOOD + EVIL[:9], EVIL[9:]), b"good", id="the beginning and then the rest"),
        pytest.param(later(GOOD, EVIL), b"good", id="a second answer, later"),
        pytest.param(GOOD + b"\r\n", b"good", id="an empty line too many"),
        pytest.param(answer("200 OK|Content-Length: 4", b"good and more"), b"good", id="too short a length"),
        pytest.param(later(CHUNKED, b"x"), b"good", id="a byte behind the last chunk, later"),
        pytest.param(CHUNKED + EVIL, b"good", id="an answer behind the last chunk"),
        pytest.param(answer("404 None|Content-Length: 0", EVIL), "not_found", id="one behind a 404"),
        pytest.param(
            answer("302 Found|Location: /good|Content-Length: 0", EVIL), b"good", id="one behind a redirect"
        ),
        pytest.param(
            answer("200 OK|Content-Length: 4|Transfer-Encoding: chunked", CHUNKED.split(b"\r\n\r\n", 1)[1]),
            b"good",
            id="both a length and chunks",
        ),
        pytest.param(
            answer(
                "200 OK|Transfer-Encoding: chunked|Transfer-Encoding: identity",
                CHUNKED.split(b"\r\n\r\n", 1)[1],
            ),
            b"good",
            id="two transfer encodings",
        ),
        pytest.param(answer("200 OK|Content-Length: +4", b"good"), b"good", id="a length with a sign"),
        pytest.param(answer("200 OK|Content-Length: 0_4", b"good"), b"good", id="a length with a low line"),
        pytest.param(
            answer("200 OK|Content-Length: 4|Content-Length: 4", b"good"), b"good", id="the length twice"
        ),
        pytest.param(
            answer("200 OK|Content-Length: 4|Content-Length: 5", b"good!"), "fetch_failed", id="two lengths"
        ),
        pytest.param(
            answer("200 OK|Content-Length: 4|Connection: close", b"good"), b"good", id="Connection: close"
        ),
        pytest.param(
            answer("200 OK|Content-Length: 4|Connection: x|Connection: Close", b"good"),
            b"good",
            id="Connection: close in the second header",
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\ngood",
            b"good",
            id="HTTP/1.0",
        ),
        pytest.param(closing(answer("200 OK", b"good")), b"good", id="a body that ends with the connection"),
        pytest.param(answer("103 Early Hints|Link: </x>") + EVIL, "fetch_failed", id="103 and an answer"),
        pytest.param(later(answer("103 Early Hints"), EVIL), "fetch_failed", id="103 and an answer, later"),
        pytest.param(answer("103 Early Hints|Content-Length: 0"), "fetch_failed", id="103 and nothing yet"),
        pytest.param(answer("101 Switching Protocols", EVIL), "fetch_failed", id="101"),
        pytest.param(answer("204 None", EVIL), "fetch_failed", id="204 with a body"),
        pytest.param(later(answer("204 None|Content-Length: 9"), EVIL), "fetch_failed", id="204, later"),
        pytest.param(answer("204 None|Content-Length: 9"), "fetch_failed", id="204 with a length"),
        pytest.param(answer("205 Reset|Content-Length: 0"), "fetch_failed", id="205"),
        pytest.param(answer("304 Same|Content-Length: 0"), "fetch_failed", id="304"),
        pytest.param(answer("304 Same|Content-Length: 44", EVIL), "fetch_failed", id="304 with a body"),
        pytest.param(answer("200 OK|Content-Length: 2000", EVIL * 60), "fetch_limit", id="too long"),
        pytest.param(
            answer("200 OK|Transfer-Encoding: chunked", b"7d0\r\n" + EVIL * 60),
            "fetch_limit",
            id="too long in chunks",
        ),
        pytest.param(
            answer("200 OK|Content-Length: 4|Content-Encoding: gzip", EVIL), "fetch_failed", id="no gzip"
        ),
        pytest.param(
            answer("404 None|Content-Length: 99999", EVIL * 3000), "not_found", id="a 404 with a long body"
        ),
        pytest.param(answer("404 None|Content-Length: 9", b"not"), "not_found", id="a 404 without its end"),
        pytest.param(
            closing(answer("200 OK|Content-Length: 9", b"good")), "fetch_limit", id="too long a length"
        ),
        pytest.param(
            closing(answer("200 OK|Transfer-Encoding: chunked", b"4\r\ngood\r\n0\r\n")),
            b"good",
            id="closed before the last empty line",
        ),
        pytest.param(closing(GOOD), b"good", id="closed at once"),
    ],
)
def test_no_connection_is_kept_after_an_answer_whose_end_is_in_doubt(
    server: RawServer, first: bytes, result: bytes | str
) -> None:
    server.answers["/first"] = first
    assert fetch(server, "/first") == result
    if callable(first):
        time.sleep(0.08)
    else:  # What is wrong was there to see: it is not left to the next request to notice.
        wait_for(lambda: server.ended == {1})
    assert fetch(server) == b"good"
    assert server.requests[-1] == (server.opened, "/good")
    assert server.opened == 2, server.requests


def test_a_connection_that_the_server_closes_under_a_request_costs_no_attempt(server: RawServer) -> None:
    server.answers["/gone"] = closing(b"")
    assert fetch(server) == b"good"
    server.answers["/once"] = lambda connection: server.answers.pop("/once") and closing(b"")(connection)
    assert fetch(server, "/once") == b"good"
    assert server.requests == [(1, "/good"), (1, "/once"), (2, "/once")]
    # A new connection is not tried again.
    assert fetch(server, "/gone") == "fetch_failed"
    assert server.requests[3:] == [(2, "/gone"), (3, "/gone")]


def resetting(data: bytes) -> Callable[[socket.socket], None]:
    """Return an answer that is broken off by a reset."""

    def send(connection: socket.socket) -> None:
        connection.sendall(data)
        time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Hangup

    return send


def test_a_connection_that_was_closed_in_the_meantime_is_not_used(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HostConnection.get
    used = []

    def get(connection: HostConnection, *rest: Any) -> HTTPResponse:
        used.append(connection)
        return real(connection, *rest)

    monkeypatch.setattr(HostConnection, "get", get)
    server.answers["/first"] = closing(GOOD)
    assert fetch(server, "/first") == b"good"
    wait_for(lambda: server.hung_up == {1})
    assert fetch(server) == b"good"
    assert len(used) == 2


def test_every_answer_is_closed_whatever_becomes_of_its_connection(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HostConnection.get
    answers = []

    def get(connection: HostConnection, *rest: Any) -> HTTPResponse:
        answers.append(real(connection, *rest))
        return answers[-1]

    monkeypatch.setattr(HostConnection, "get", get)
    server.answers["/long"] = answer("200 OK|Content-Length: 2000", EVIL)
    server.answers["/later"] = answer("503 Busy|Connection: close|Content-Length: 9")
    assert [fetch(server, path) for path in ("/good", "/long", "/good", "/later")] == [
        b"good",
        "fetch_limit",
        b"good",
        "fetch_later",
    ]
    assert [found.closed for found in answers] == [True] * 4


@pytest.mark.parametrize("end", [closing, resetting])
@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", GOOD[:-1]])
def test_a_request_whose_answer_has_begun_is_not_sent_again(
    server: RawServer, begun: bytes, end: Callable[..., Any]
) -> None:
    server.answers["/begun"] = end(begun)
    assert fetch(server) == b"good"
    # What came may even be complete headers: then the body is missing.
    assert fetch(server, "/begun") in ("fetch_failed", "fetch_limit")
    assert server.requests == [(1, "/good"), (1, "/begun")]


@pytest.mark.parametrize(
    "slow",
    [
        later(answer("200 OK|Content-Length: 99"), *[b"x"] * 99, seconds=0.3),
        later(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 99, seconds=0.3),
        later(*[GOOD[n : n + 1] for n in range(len(GOOD))], seconds=1),
        later(b"", GOOD, seconds=30),
    ],
)
def test_one_deadline_holds_on_a_kept_connection_too(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, slow: Callable[[socket.socket], None]
) -> None:
    server.answers["/slow"] = slow
    assert fetch(server) == b"good"
    within(1.0, monkeypatch)
    before = time.monotonic()
    assert fetch(server, "/slow") == "fetch_limit"
    assert time.monotonic() - before < 20
    assert server.requests == [(1, "/good"), (1, "/slow")]
    assert fetch(server) == b"good"
    assert server.requests[-1] == (2, "/good")


def test_a_second_sending_has_what_is_left_of_the_first_s_time(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close_late(connection: socket.socket) -> None:
        if server.opened == 1:
            time.sleep(0.2)
            raise Hangup
        connection.recv(1)  # until the client has waited long enough

    real, deadlines = HostConnection.get, []

    def get(connection: HostConnection, target: str, headers: Any, deadline: float) -> HTTPResponse:
        deadlines.append(deadline)
        return real(connection, target, headers, deadline)

    monkeypatch.setattr(HostConnection, "get", get)
    within(3.0, monkeypatch)
    server.answers["/late"] = close_late
    assert fetch(server) == b"good"
    assert fetch(server, "/late") == "fetch_limit"
    assert deadlines[1] == deadlines[2] > deadlines[0]
    assert server.requests == [(1, "/good"), (1, "/late"), (2, "/late")]


def test_the_short_body_of_an_error_is_not_waited_for(server: RawServer) -> None:
    server.answers["/none"] = later(answer("404 None|Content-Length: 9"), b"not found", seconds=30)
    before = time.monotonic()
    assert fetch(server, "/none") == "not_found"
    assert time.monotonic() - before < 20


def test_an_address_is_checked_again_by_the_rules_of_each_request(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch(server) == b"good"
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "10.0.0.0/8")
    assert fetch(server) == "address_denied"
    assert len(server.requests) == 1
    wait_for(lambda: server.ended == {1})


def test_a_name_that_comes_to_lead_to_a_denied_address_is_reached_for_a_short_time_only(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to = ["127.0.0.1"]
    looks = []

    def look(url: object, deadline: float) -> list[str]:
        looks.append(url)
        return leads_to

    monkeypatch.setattr(http_connection, "resolve", look)
    monkeypatch.setattr(http_pool, "MAX_AGE_SECONDS", 2.0)
    server.url = f"http://moving.example:{server.port}"
    assert fetch(server) == fetch(server) == b"good"
    assert len(looks) == 1
    leads_to[0] = "169.254.169.254"
    began = time.monotonic()
    while fetch(server) == b"good":  # It is in use all the time: age counts, not idleness.
        assert time.monotonic() - began < 60
    assert fetch(server) == "address_denied" and len(looks) == 3
    assert set(numbers(server)) == {1}


def test_a_tls_connection_serves_one_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("one.example").configure_cert(of_server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(http_connection, "tls_context", lambda: trusting)
    monkeypatch.setattr(http_connection, "resolve", lambda url, deadline: ["127.0.0.1"])
    with raw_server(GOOD, of_server) as server:
        server.answers["/evil"] = GOOD + EVIL
        one, other = (f"https://{name}.example:{server.port}" for name in ("one", "other"))
        allowed = AllowedUrls.of([one, other])
        for path in ("/a", "/b", "/evil", "/c"):
            assert fetch_url(f"{one}{path}", allowed) == b"good"
        assert numbers(server) == [1, 1, 1, 2]
        with pytest.raises(ImageError, match="certificate is not trusted"):
            fetch_url(f"{other}/a", allowed)
        assert fetch_url(f"{one}/d", allowed) == b"good"
        assert server.requests[-1] == (2, "/d")


def test_few_idle_connections_are_kept(
    server: RawServer, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "MAX_IDLE", 5)
    assert http_pool.MAX_IDLE_PER_HOST == image_loader.PER_HOST == 4
    monkeypatch.setattr(http_connection, "resolve", lambda url, deadline: ["127.0.0.1"])
    together = threading.Barrier(6)

    def meet(connection: socket.socket) -> None:
        together.wait(300)
        connection.sendall(GOOD)

    server.answers["/meet"] = meet
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda _: fetch(server, "/meet"), range(6))) == [b"good"] * 6
    wait_for(lambda: len(server.ended) == 2)
    for name in ("one", "two"):
        server.url = f"http://{name}.example:{server.port}"
        assert fetch(server) == b"good"
    assert server.opened == 8
    wait_for(lambda: len(server.ended) == 3)
    pool.close()
    wait_for(lambda: len(server.ended) == 8)


def test_idle_connections_are_closed_where_no_request_comes(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "IDLE_SECONDS", 0.2)
    assert fetch(server) == b"good"
    wait_for(lambda: server.ended == {1})
    assert fetch(server) == b"good" and numbers(server) == [1, 2]
    wait_for(lambda: server.ended == {1, 2})


def test_the_end_of_a_worker_closes_its_connections(
    server: RawServer, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_loader, "connections", pool)
    with image_loader.ImageLoader(lambda image: pytest.fail("nothing is loaded"), 1):
        assert fetch(server) == b"good"
        assert server.ended == set()
    wait_for(lambda: server.ended == {1})


def test_threads_get_each_the_answer_to_their_own_request(server: RawServer) -> None:
    def own(name: str) -> bytes:
        body = name.encode() * 500
        return answer(f"200 OK|Content-Length: {len(body)}", body)

    names = [f"/{number}" for number in range(200)]
    server.answers = {name: own(name) for name in names}
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: fetch(server, name, 10_000), names))
    assert found == [name.encode() * 500 for name in names]
    assert server.opened < 100


def test_a_forked_process_uses_no_connection_of_its_parent(server: RawServer) -> None:
    script = f"""
        import os
        from imgvec_pg.images.fetching.url import AllowedUrls, fetch_url
        def fetch(path):
            assert fetch_url("{server.url}" + path, AllowedUrls.of(["{server.url}"])) == b"good"
        fetch("/parent")
        child = os.fork()
        if not child:
            fetch("/child")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        fetch("/parent")
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], timeout=900)
    assert done.returncode == 0
    assert server.requests == [(1, "/parent"), (2, "/child"), (1, "/parent")]
