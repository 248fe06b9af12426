"""TCP ports for servers that have to be told one before they start."""

import random
import socket

# Below 32768, where Linux begins to give ports to connections (net.ipv4.ip_local_port_range): one of those that was free a
# moment ago may be the next connection's, of this or another process.
CHOICE = range(20_000, 32_000)  # Ray keeps 10,002 to 19,999 for its workers.
TRIES = 100


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nobody listens: drawn, so that two processes hardly ever get the same."""
    draw = random.SystemRandom()
    for _ in range(TRIES):
        port = draw.choice(CHOICE)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError(f"somebody listens at each of {TRIES} ports drawn from {CHOICE}")
