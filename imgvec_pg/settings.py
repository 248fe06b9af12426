"""Settings read from the environment, in one place.

The connection itself is libpq's business: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE all work.
"""

import ipaddress
import os
from pathlib import Path

from imgvec_pg.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LEASE_SECONDS = 60.0
SHORTEST_LEASE_SECONDS = 0.5


def dsn_from_environment() -> str:
    """Return IMGVEC_DSN, or "" which lets libpq read its own PG* variables."""
    return os.environ.get("IMGVEC_DSN", "")


def lease_seconds() -> float:
    """Return IMGVEC_LEASE_SECONDS: how long a dead worker's rows wait before another takes them; 60 when unset.

    Raises:
        UsageError: It is no number of at least 0.5.
    """
    value = os.environ.get("IMGVEC_LEASE_SECONDS", "")
    if not value:
        return LEASE_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not SHORTEST_LEASE_SECONDS <= seconds <= 86_400:
        raise UsageError(
            f'IMGVEC_LEASE_SECONDS is "{value}"; expected seconds between {SHORTEST_LEASE_SECONDS} and 86400, such as 60'
        )
    return seconds


def cache_directory() -> Path:
    """Return IMGVEC_CACHE_DIR, where what can be made again is kept; ~/.cache/imgvec, or under XDG_CACHE_HOME, when unset."""
    given = os.environ.get("IMGVEC_CACHE_DIR", "")
    if given:
        return Path(given).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "imgvec"
    except RuntimeError as error:  # a user without an entry in passwd, and no HOME
        raise FileNotFoundError("there is no home folder to keep a cache in: set IMGVEC_CACHE_DIR") from error


def whole_number(name: str, default: int, most: int) -> int:
    """Return a setting that is a whole number of 1 to `most`, the default when it is unset.

    Raises:
        UsageError: It is something else.
    """
    value = os.environ.get(name, "")
    if not value:
        return default
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else 0
    if not 1 <= number <= most:
        raise UsageError(f'{name} is "{value}"; expected a whole number of 1 to {most}, such as {default}')
    return number


def more_formats() -> frozenset[str]:
    """Return IMGVEC_FORMATS: "tiff" has plain TIFF decoded, "web" leaves out whatever extras read.

    Raises:
        UsageError: It names another.
    """
    names = frozenset(filter(None, os.environ.get("IMGVEC_FORMATS", "").lower().replace(",", " ").split()))
    if not names <= {"tiff", "web"}:
        raise UsageError(
            f'IMGVEC_FORMATS is "{os.environ["IMGVEC_FORMATS"]}"; expected "tiff", "web" or nothing'
        )
    return names


def allowed_networks() -> tuple[Network, ...]:
    """Return IMGVEC_ALLOW_NETWORKS: addresses of this machine's own networks that pictures may be fetched from.

    Raises:
        UsageError: It holds something else than networks such as 10.1.2.0/24, separated by commas.
    """
    value = os.environ.get("IMGVEC_ALLOW_NETWORKS", "")
    try:
        return tuple(ipaddress.ip_network(part) for part in value.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(
            f'IMGVEC_ALLOW_NETWORKS is "{value}" ({error}); expected networks such as 10.1.2.0/24,fd00:1::/64'
        ) from error


def embedder_key() -> str:
    """Return IMGVEC_EMBEDDER_KEY, what a server that embeds wants to be shown, or "" when unset; it is in no message."""
    return os.environ.get("IMGVEC_EMBEDDER_KEY", "").strip()


def embedder_url() -> str:
    """Return IMGVEC_EMBEDDER_URL: where the server of the models http:NAME@URL is from here, or "" for what they say."""
    return os.environ.get("IMGVEC_EMBEDDER_URL", "").strip()


def model_directory() -> Path | None:
    """Return IMGVEC_MODEL_DIR, where weights are looked for before any hub, or None when unset."""
    value = os.environ.get("IMGVEC_MODEL_DIR")
    return Path(value).expanduser() if value else None


def trusted_repositories() -> frozenset[str]:
    """Return IMGVEC_TRUST_REMOTE_CODE: repositories of the hub, and folders, whose own code may run to build their model."""
    named = os.environ.get("IMGVEC_TRUST_REMOTE_CODE", "").replace(",", " ").split()
    return frozenset(str(Path(name).expanduser()) if name.startswith(("/", "~")) else name for name in named)


def typed_command() -> str | None:
    """Return IMGVEC_COMMAND, how the command imgvec is typed here; None for `imgvec` itself."""
    return os.environ.get("IMGVEC_COMMAND") or None


def own_collections() -> tuple[str, ...]:
    """Return IMGVEC_COLLECTIONS: what backfill and worker work where no collection is named."""
    return tuple(os.environ.get("IMGVEC_COLLECTIONS", "").replace(",", " ").split())


def fetch_function() -> str:
    """Return IMGVEC_FETCH, or "" when unset: it names a function that reads pictures (images/fetching/application_fetch.py)."""
    return os.environ.get("IMGVEC_FETCH", "")


def state_directory() -> Path:
    """Return IMGVEC_HOME, else ~/.local/share/imgvec: the private server, the demo, stopped runs of `duplicates`."""
    value = os.environ.get("IMGVEC_HOME")
    if value:
        return Path(value).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "imgvec"


def worker_place() -> int | None:
    """Return IMGVEC_WORKER_PLACE, the number that `backfill --workers` gives each of its processes; None elsewhere."""
    value = os.environ.get("IMGVEC_WORKER_PLACE", "")
    return int(value) if value.isdecimal() else None


def worker_cpus() -> int | None:
    """Return IMGVEC_WORKER_CPUS, the CPUs that `backfill --workers` leaves each of its processes; None elsewhere."""
    value = os.environ.get("IMGVEC_WORKER_CPUS", "")
    return int(value) if value.isdecimal() and int(value) > 0 else None
