"""The settings reference: environment variables and PostgreSQL settings, held to the names that the code reads."""

import re
from collections.abc import Mapping
from pathlib import Path

from imgvec_pg.images.limits import MAX_ASPECT, MAX_IMAGE_BYTES, MAX_PIXELS, MOST_BYTES, MOST_PIXELS
from imgvec_pg.settings import LEASE_SECONDS, SHORTEST_LEASE_SECONDS
from tools.docs.markdown import NOTICE, table

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\bIMGVEC_[A-Z][A-Z_]*\b")
SERVER_SETTING = re.compile(r"current_setting\('(imgvec\.\w+)'")

# Name: what it is for, the default, who reads it.
VARIABLES = {
    "IMGVEC_DSN": (
        "The database: `postgresql://user@host/db`, or libpq's `host=… dbname=…`. `--dsn` overrides it",
        "libpq's `PG*` variables",
        "every command",
    ),
    "IMGVEC_RUNTIME": (
        "What computes pictures on a CPU: `auto`, `torch`, `onnx`, `openvino` "
        "([models](../howto/models.md#onnx-runtime-on-a-cpu)). `--runtime` overrides it.",
        "`auto`",
        "`worker`, `backfill`",
    ),
    "IMGVEC_CACHE_DIR": (
        "Folder for what can be made again: image encoders exported for ONNX Runtime and OpenVINO.",
        "`$XDG_CACHE_HOME/imgvec`, else `~/.cache/imgvec`",
        "whatever loads a model",
    ),
    "IMGVEC_MODEL_DIR": (
        "Folder with weights that `imgvec model fetch NAME --to DIR` wrote; looked into before any hub",
        "none: the hub and its cache",
        "whatever loads a model",
    ),
    "IMGVEC_TRUST_REMOTE_CODE": (
        "Repositories of the hub, and folders, whose own code may run to build their model `transformers:…`, such as "
        "`jinaai/jina-clip-v2` ([models](../howto/models.md#models-of-the-hub))",
        "none: no code that comes with a model runs",
        "whatever loads such a model",
    ),
    "IMGVEC_EMBEDDER_KEY": (
        "The key that the server of a model `http:NAME@URL` wants to be shown, as `Authorization: Bearer …`. It is neither "
        "stored nor told",
        "none",
        "whatever loads such a model",
    ),
    "IMGVEC_EMBEDDER_URL": (
        "Where the server of the models `http:NAME@URL` is from here, in place of their URL",
        "the model's own",
        "whatever loads such a model",
    ),
    "IMGVEC_EMBEDDER_REQUESTS": (
        "Requests to the server of a model that may be under way at once: 1 to 64",
        "4",
        "whatever loads such a model",
    ),
    "IMGVEC_EMBEDDER_SECONDS": (
        "How long the server of a model may take for an answer: 1 to 3600 seconds",
        "60",
        "whatever loads such a model",
    ),
    "IMGVEC_EMBED": (
        "Who embeds words and pictures that are not cached: `auto` (a running worker, else this process), `worker`, `process`. "
        "A key of Flask's `app.config`; Django's is `IMGVEC = {\"EMBED\": …}` in the settings",
        "`auto`",
        "Flask and Django applications",
    ),
    "IMGVEC_ALLOW_NETWORKS": (
        "Networks that are not public and that pictures may still be fetched from, and servers of models asked at, such as "
        "`10.1.2.0/24,fd00:1::/64` "
        "([images](../howto/images.md#what-a-url-cannot-do))",
        "none",
        "`imgvec worker`, `imgvec backfill`",
    ),
    "IMGVEC_FORMATS": (
        "`tiff`: decode plain TIFF without the extra `tiff`. `web`: leave out whatever extras read "
        "([formats](../howto/formats.md))",
        "none",
        "`worker`, `backfill`, `add`, `search`",
    ),
    "IMGVEC_MAX_PIXELS": (
        f"Pixels that a picture may have, to {MOST_PIXELS}; the memory of decoding children follows "
        "([limits](../howto/images.md#limits)). `--max-pixels` overrides it",
        f"{MAX_PIXELS}",
        "`worker`, `backfill`, `add`, `search`",
    ),
    "IMGVEC_MAX_ASPECT": (
        "How many times the other one side of a picture may be; `--max-aspect` overrides it",
        f"{MAX_ASPECT}",
        "`worker`, `backfill`, `add`, `search`",
    ),
    "IMGVEC_MAX_BYTES": (
        f"Bytes that a picture may have as it is stored, to {MOST_BYTES}; `--max-bytes` overrides it",
        f"{MAX_IMAGE_BYTES}",
        "`worker`, `backfill`, `add`, `search`",
    ),
    "IMGVEC_FETCH": (
        "`package.module:function` that reads a path's bytes in place of the file system. `python manage.py imgvec` sets it to "
        "read through Django's storages",
        "none: files below `--root`",
        "`worker`, `backfill`, `verify`",
    ),
    "IMGVEC_COMMAND": (
        "How the command is typed here, for its hints and its help. `python manage.py imgvec` and `flask imgvec` set it",
        "`imgvec`",
        "every command",
    ),
    "IMGVEC_COLLECTIONS": (
        "Collections that are worked together where none is named, such as `product_clip,shelf_clip`. "
        "`python manage.py imgvec` and `flask imgvec` set it to the application's own",
        "none: the only one there is",
        "`imgvec worker`, `imgvec backfill`",
    ),
    "IMGVEC_LEASE_SECONDS": (
        f"How long the rows of a dead worker wait before another takes them: {SHORTEST_LEASE_SECONDS} to 86400 seconds. The "
        "same for all workers of a database",
        f"{LEASE_SECONDS:.0f}",
        "`imgvec worker`, `imgvec backfill`",
    ),
    "IMGVEC_LOG_FORMAT": (
        "What stderr holds: `text` for people, or `json`, one object a line; `--log-format` overrides it",
        "`text`",
        "every command",
    ),
    "IMGVEC_LOG_LEVEL": (
        "The least that is logged: `debug`, `info`, `warning`, `error`; `--log-level` overrides it",
        "`warning` as text, `info` as JSON",
        "`imgvec worker`, `imgvec backfill`",
    ),
    "IMGVEC_HOME": (
        "Folder of the private server, the demo, and what stopped runs of `imgvec duplicates` have done",
        "`$XDG_DATA_HOME/imgvec`, else `~/.local/share/imgvec`",
        "`imgvec server`, `imgvec demo`, `imgvec duplicates`",
    ),
    "IMGVEC_WORDS_PASSWORD": (
        "Password that `imgvec words setup --user …` stores in the user mapping",
        "asked for",
        "`imgvec words setup`",
    ),
    "IMGVEC_SHARD_PASSWORD": (
        "Password that `imgvec shard add` stores in the user mapping where `--at` has none",
        "unset",
        "`imgvec shard add`",
    ),
    "IMGVEC_DEBUG": ("Any value: an unexpected error prints its traceback too", "unset", "every command"),
    "IMGVEC_WORKER_PLACE": (
        "The number that `imgvec backfill --workers N` gives each of its processes, by which they choose "
        "their GPU; not for people",
        "unset",
        "processes of `--workers`",
    ),
    "IMGVEC_WORKER_CPUS": (
        "The CPUs that `imgvec backfill --workers N` leaves each of its processes, by which they start children "
        "that decode; not for people",
        "unset",
        "processes of `--workers`",
    ),
}

# Name: what it is for, the default.
SERVER_SETTINGS = {
    "imgvec.text_timeout": (
        "How long a query waits for a worker to embed its words: 1 ms to 10 min",
        "`2 s`",
    ),
    "imgvec.max_text_requests": (
        "Queries that may wait for a worker at once; each costs a connection meanwhile. Set it for the database",
        "16",
    ),
    "imgvec.text_cache_age": ("Cached texts whose use nobody noted for so long are forgotten", "`90 days`"),
    "imgvec.text_cache_rows": (
        "The longest unused cached texts beyond this number are forgotten (1 KB each at 512 dimensions)",
        "100000",
    ),
    "imgvec.last_search_strategy": (
        "Set by `search_*`, read by `imgvec.last_search_strategy()`: how the last search of the session found its rows",
        "not for people",
    ),
    "imgvec.statement_timeout_of_session": (
        "Set by searches over shards: when the configuration was last loaded, and the session's own `statement_timeout`",
        "not for people",
    ),
}

PAGE = """# Settings

## Environment variables

A command's options override them. The connection is libpq's: `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGPASSWORD`,
`PGSERVICE` and `~/.pgpass` all work; `IMGVEC_DSN` overrides them.

{variables}
## PostgreSQL settings

Per session with `SET`, or for all with `ALTER DATABASE shop SET … = …`
([text queries in SQL](../howto/text-queries-in-sql.md#settings)).

{server}
`imgvec migrate` sets PostgreSQL's `cursor_tuple_fraction = 1` for a database that its role owns, unless that has a value of
its own; with `--database-defaults` also pgvector's `hnsw.iterative_scan = strict_order`, `hnsw.max_scan_tuples = 100000` and
`hnsw.scan_mem_multiplier = 4` ([fast queries](../howto/fast-queries.md#scans-that-go-on)).

## In an application

- Django: `IMGVEC = {{"EMBED": "worker"}}` in the settings ([Django](../howto/django.md#where-words-are-embedded)).
- Flask: `app.config["IMGVEC_EMBED"]` ([Flask](../howto/flask.md)).
- SQLAlchemy: `SearchSettings`, by session or for all ([SQLAlchemy](../howto/sqlalchemy.md)).

{notice}"""


def variables_in_code() -> set[str]:
    """Return the IMGVEC_* names in the package's Python files."""
    package = (ROOT / "imgvec_pg").rglob("*.py")
    return {name for path in package for name in VARIABLE.findall(path.read_text())}


def server_settings_in_code() -> set[str]:
    """Return the imgvec.* settings that the SQL files read."""
    return {
        name for path in (ROOT / "sql").rglob("*.sql") for name in SERVER_SETTING.findall(path.read_text())
    }


def compare_names(kind: str, described: Mapping[str, object], found: set[str], where: str) -> None:
    """Refuse to write a page that lacks a name of the code or has one that is gone.

    Raises:
        ValueError: They differ.
    """
    missing, gone = sorted(found - set(described)), sorted(set(described) - found)
    if missing or gone:
        raise ValueError(
            f"{kind} without a description: {', '.join(missing) or 'none'}; described and no longer in the code: "
            f"{', '.join(gone) or 'none'}; correct {where}"
        )


def render() -> str:
    """Return the page."""
    compare_names("variables", VARIABLES, variables_in_code(), "VARIABLES in tools/docs/settings.py")
    compare_names(
        "PostgreSQL settings",
        SERVER_SETTINGS,
        server_settings_in_code(),
        "SERVER_SETTINGS in tools/docs/settings.py",
    )
    variables = [
        (f"`{name}`", f"{what}. Default: {default}. Read by {reader}.")
        for name, (what, default, reader) in VARIABLES.items()
    ]
    server = [
        (f"`{name}`", f"{what}. Default: {default}.") for name, (what, default) in SERVER_SETTINGS.items()
    ]
    return PAGE.format(
        variables=table(["variable", "meaning"], variables),
        server=table(["setting", "meaning"], server),
        notice=NOTICE,
    )
