"""Pictures fetched per second over loopback, and the median time of one: this build beside another, in turns.

Usage: python benchmarks/fetch.py --against DIR [--rounds 9] [--pictures 400]. DIR is a checkout of the build to compare with
(`git worktree add DIR COMMIT`). Four threads, as a worker has for one host, fetch pictures of 50 kB from one server, in a
process of its own: by http, by https with a self-made certificate, and by https through a relay that delays each direction
by 10 ms, and the first bytes of a connection by one more round trip, as TCP's handshake would. DNS costs nothing here: the
name is localhost. Before the rounds each build fetches a tenth untimed; ratios are medians of the ratios of each round.
"""

import argparse
import asyncio
import http.server
import json
import multiprocessing
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

THREADS = 4
PICTURE = os.urandom(50_000)
ONE_WAY_SECONDS = 0.010
WAYS = ("http", "https", "https, 20 ms round trip")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the picture, in one write."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Serves each connection in a thread, where it also shakes hands."""

    daemon_threads = True
    request_queue_size = 64
    context: ssl.SSLContext | None = None

    def finish_request(self, request: object, client_address: object) -> None:
        """Handle a connection."""
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)  # type: ignore[call-overload]
        super().finish_request(request, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have gone."""


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first_seconds: float) -> None:
    """Pass bytes on, each so much later, however many are under way."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()
    earliest = loop.time() + first_seconds

    async def write() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                writer.close()
                return
            writer.write(data)

    writing = asyncio.create_task(write())
    try:
        while True:
            data = await reader.read(1 << 18)
            waiting.put_nowait((max(loop.time(), earliest) + ONE_WAY_SECONDS, data))
            if not data:
                break
    except ConnectionError:
        waiting.put_nowait((loop.time(), b""))
    await writing


async def run_relay(to_port: int, told: Connection, ports: list[int]) -> None:
    """Listen, tell all ports, and relay for good."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(
            relay(reader, there_writer, 2 * ONE_WAY_SECONDS), relay(there_reader, writer, 0.0)
        )

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=64)
    told.send([*ports, server.sockets[0].getsockname()[1]])
    await server.serve_forever()


def serve(certificate: str, told: Connection) -> None:
    """Serve in this process; tell the ports in the order of WAYS."""
    ports = []
    for is_secure in (False, True):
        server = Server(("127.0.0.1", 0), Handler)
        if is_secure:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(certificate)
        ports.append(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    asyncio.run(run_relay(ports[1], told, ports))


def fetch_all(url: str, pictures: int) -> None:
    """Be the client, with the build that is imported: print pictures per second and the median's milliseconds."""
    from imgvec_pg.images.fetching.url import AllowedUrls, fetch_url

    allowed = AllowedUrls.of([url])

    def fetch(number: int) -> float:
        started = time.perf_counter()
        assert len(fetch_url(f"{url}/{number}.jpg", allowed)) == len(PICTURE)
        return time.perf_counter() - started

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(fetch, range(pictures // 10)))
        started = time.perf_counter()
        times = list(threads.map(fetch, range(pictures)))
        print(json.dumps([pictures / (time.perf_counter() - started), 1e3 * statistics.median(times)]))


def run_client(build: Path, url: str, pictures: int, authority: str) -> list[float]:
    """Run `fetch_all` in a process of a build's own."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(build),
        "SSL_CERT_FILE": authority,
        "IMGVEC_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",
    }
    command = [sys.executable, __file__, "--client", url, "--pictures", str(pictures)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=build)
    figures: list[float] = json.loads(done.stdout)
    return figures


def compare(builds: Sequence[Path], ports: Sequence[int], rounds: int, pictures: int, authority: str) -> None:
    """Print a table."""
    print(f"{'':26}{'other build':>24}{'this build':>24}{'ratio':>8} (lowest to highest)")
    for way, port in zip(WAYS, ports, strict=True):
        url = f"{way.partition(',')[0]}://localhost:{port}"
        found: list[list[list[float]]] = [[], []]
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                found[which].append(run_client(builds[which], url, pictures, authority))
        ratios = sorted(this[0] / other[0] for other, this in zip(*found, strict=True))
        columns = [
            f"{statistics.median(rate for rate, _ in side):9.0f}/s {statistics.median(p50 for _, p50 in side):6.2f} ms"
            for side in found
        ]
        print(
            f"{way:26}{columns[0]:>24}{columns[1]:>24}{statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


def main() -> None:
    """Serve, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        fetch_all(options.client, options.pictures)
        return
    if options.against is None:
        parser.error("--against DIR: which build to compare with")
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as directory:
        certificate, trusted = f"{directory}/server.pem", f"{directory}/authority.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        authority.cert_pem.write_to_path(trusted)
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(certificate, theirs), daemon=True
        )
        server.start()
        try:
            this = Path(__file__).parents[1]
            compare((options.against.resolve(), this), ours.recv(), options.rounds, options.pictures, trusted)
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
