"""The error reference: exit codes, failure codes of rows, SQLSTATEs, error classes, held to what the code raises."""

import inspect
import re
from pathlib import Path

import psycopg.errors

import imgvec_pg.errors
from imgvec_pg.cli.exit_codes import INTERRUPTED, TERMINATED, SomeRowsFailed
from imgvec_pg.errors import ConnectionFailedError, ImgvecError, UsageError
from tools.docs.markdown import NOTICE, table
from tools.docs.settings import compare_names

ROOT = Path(__file__).parents[2]
FAILURE_CODES = (
    re.compile(
        r'(?:ImageError|HostError|KilledError|LaterError|_denied|super\(\)\.__init__)\(\s*"([a-z]+(?:_[a-z]+)*)"'
    ),
    re.compile(r'"code": "([a-z_]+)"'),
    re.compile(r'FailedKey\([^"()]*"([a-z_]+)"'),
    re.compile(r'^[A-Z]+_CODE = "([a-z_]+)"', re.MULTILINE),
)
CONDITION = re.compile(r"\bRAISE (?!EXCEPTION\b|NOTICE\b|WARNING\b|LOG\b|INFO\b|DEBUG\b)([a-z_]+) USING")

# Code: what it means, how often such a row is tried.
FAILURES = {
    "empty": ("0 bytes", "1"),
    "no_image": ("the row lost its picture while it waited; noted, and no failure", "1"),
    "blank": (
        "the picture is one single colour; embedded, noted, and no failure: [blank and odd pictures]"
        "(../howto/rendering-versions.md#blank-and-odd-pictures)",
        "1",
    ),
    "noted": ("the picture's file is odd; embedded, noted, and no failure", "1"),
    "two_images": ("the row has both a path and bytes", "1"),
    "unidentified": ("the bytes begin like no image: HTML, SVG, text", "1"),
    "format_denied": ("an image or document of another format: TIFF, HEIC, EPS, PSD, PDF, …", "1"),
    "truncated": ("it ends early, or is damaged", "1"),
    "too_large": ("beyond the limit of bytes, pixels or aspect", "1"),
    "decode_limit": (
        "its decoder crashed, or took more memory or computing than it may",
        "1; 3 where the cause may lie outside",
    ),
    "decode_error": ("the model's preprocessing raised an error", "1"),
    "path_denied": (
        "a path that leads out of the folder, or that no file can have; a URL with `..`",
        "1",
    ),
    "not_regular_file": ("a folder, FIFO, socket or device", "1"),
    "not_found": ("no file, or the host said 404 (3 tries) or 410 (1)", "3"),
    "scheme_denied": ("a URL of a kind that the collection does not allow, or with a password in it", "1"),
    "address_denied": (
        "a URL that leads to an address that is not public, or not under the prefixes",
        "1",
    ),
    "fetch_limit": (
        "took more than 20 seconds (bytes in the table: 10, over a slow link), more bytes than allowed, fewer than announced, or "
        "too many redirects",
        "3; 1 where no try can help",
    ),
    "fetch_failed": ("any other answer, or none", "3; 1 where no try can help"),
    "fetch_later": ('the host said "later" more than 10 times', "3 more"),
    "embed_error": ("the model raised an error", "1"),
    "bad_embedding": ("the model gave a vector that is not of norm 1", "1"),
    "worker_died": ("four workers died with it in hand, the last three with it alone", "—"),
    "unreadable_row": ("the row cannot be read: an expression of a view fails for it", "1"),
    "key_does_not_fit": (
        "the source's key became wider than the embedding table's: `imgvec collection alter-key`",
        "1",
    ),
    "no_reference": ("the row is there, and its foreign key does not find it", "3"),
}

# PostgreSQL's name of the condition: when the functions of the schema imgvec raise it.
CONDITIONS = {
    "undefined_object": "no such collection or alias",
    "null_value_not_allowed": "an argument is NULL: words, picture, query vector, keys",
    "invalid_parameter_value": "an argument is out of range: k, weights, percentile, empty words, a vector of other dimensions; "
    "`imgvec.text_timeout` is no such time",
    "no_data_found": "the row has no embedding, or the keys have none",
    "data_exception": "vectors of different dimensions are combined",
    "program_limit_exceeded": "more than 2,000 bytes of text, or a picture of 0 or over 32 MB",
    "feature_not_supported": "the model has no text tower",
    "serialization_failure": "a radius index was completed after the transaction took its snapshot: begin it again",
    "object_not_in_prerequisite_state": "not cached, and no worker can be asked or answered in time; not calibrated yet; the "
    "model's scale is not known yet",
    "connection_failure": "a shard does not answer in its time; a shard's own error keeps its state, with the shard's name",
    "protocol_violation": "a shard's answer is not whole",
    "configuration_limit_exceeded": "too many queries wait for a worker (`imgvec.max_text_requests`)",
    "external_routine_exception": "the worker could not embed it, with its reason",
    "read_only_sql_transaction": "not cached, on a standby",
    "insufficient_privilege": "`imgvec migrate` by a role that does not own the schema `imgvec`",
}

PAGE = """# Errors and codes

Every error is one line: what was met, what was expected, what to do. `IMGVEC_DEBUG=1` adds the traceback of an unexpected one.

## Exit codes of commands

{exits}
## Failure codes of rows

A row that cannot be embedded is entered into `imgvec.failure` with one of these codes. `imgvec failures NAME` lists them,
`imgvec retry NAME --code CODE` enqueues them again; an UPDATE of the row does so by itself. Formats and limits are under
[images](../howto/images.md), what workers do about outages under [production](../howto/production.md).

{failures}
A row whose picture is NULL is no failure. What is no row's doing (no process for decoding can be started, a package for a store
is missing) ends the worker with one line and counts as no attempt.

## SQLSTATEs of the SQL functions

Each comes with a HINT that names the next step.

{states}
`08001` is PostgreSQL's own, where the second session of a text query cannot be opened: `imgvec doctor` tells why
([text queries in SQL](../howto/text-queries-in-sql.md#errors)).

## Exceptions in Python

All in `imgvec_pg.errors`. A command that meets one ends with its exit code.

{classes}
Checks of Django models (`imgvec_pg.E001` and so on) are listed under [Django](../howto/django.md#checks).

{notice}"""


def failure_codes() -> set[str]:
    """Return the codes that the package enters into imgvec.failure."""
    text = "".join(path.read_text() for path in (ROOT / "imgvec_pg").rglob("*.py"))
    return {code for pattern in FAILURE_CODES for code in pattern.findall(text)}


def conditions() -> set[str]:
    """Return PostgreSQL's names of the conditions that the SQL files raise."""
    return {name for path in (ROOT / "sql").rglob("*.sql") for name in CONDITION.findall(path.read_text())}


def sqlstate(condition: str) -> str:
    """Return the code of a condition, "22023" for invalid_parameter_value.

    Raises:
        ValueError: PostgreSQL knows no such condition.
    """
    wanted = condition.replace("_", "")
    for name, made in vars(psycopg.errors).items():
        if name.lower() == wanted:
            return str(made.sqlstate)
    raise ValueError(f'"{condition}" is raised in sql/ and no condition of PostgreSQL that psycopg knows')


def error_classes() -> list[type[ImgvecError]]:
    """Return the classes of imgvec_pg.errors in the order they are defined."""
    return [
        made
        for _, made in inspect.getmembers(imgvec_pg.errors, inspect.isclass)
        if issubclass(made, ImgvecError) and made.__module__ == "imgvec_pg.errors"
    ]


def render() -> str:
    """Return the page."""
    compare_names("failure codes", FAILURES, failure_codes(), "FAILURES in tools/docs/errors.py")
    compare_names("SQL conditions", CONDITIONS, conditions(), "CONDITIONS in tools/docs/errors.py")
    exits = [
        ("0", "done"),
        (str(ImgvecError.exit_code), "an error; the line on stderr tells which"),
        (str(UsageError.exit_code), "usage: an argument or option that cannot work"),
        (str(ConnectionFailedError.exit_code), "no connection to PostgreSQL, or it was lost"),
        (
            str(SomeRowsFailed().exit_code),
            "done, and some rows could not be embedded (`imgvec failures`), or `imgvec verify` found differences",
        ),
        (str(INTERRUPTED), "stopped by ctrl-C (SIGINT)"),
        (str(TERMINATED), "stopped by SIGTERM"),
    ]
    classes = []
    for made in sorted(error_classes(), key=lambda made: inspect.getsourcelines(made)[1]):
        first = (inspect.getdoc(made) or "").splitlines()[0]
        base = made.__bases__[0].__name__
        classes.append((f"`{made.__name__}`", f"`{base}`", str(made.exit_code), first))
    return PAGE.format(
        exits=table(["code", "meaning"], exits),
        failures=table(
            ["code", "meaning", "tries"], [(f"`{code}`", *told) for code, told in FAILURES.items()]
        ),
        states=table(
            ["SQLSTATE", "condition", "when"],
            sorted((f"`{sqlstate(name)}`", f"`{name}`", when) for name, when in CONDITIONS.items()),
        ),
        classes=table(["class", "derives from", "exit code", "meaning"], classes),
        notice=NOTICE,
    )
