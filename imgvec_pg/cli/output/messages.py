"""Log lines and messages on stderr: text for people, or one JSON object a line for a log collector.

Passwords never get into either: each line goes through `hide_secrets`.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

import click

from imgvec_pg.redaction import hide_secrets

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
OWN = "imgvec_pg"
log = logging.getLogger(f"{OWN}.cli")


class JsonFormatter(logging.Formatter):
    """Formats one JSON object a line: time (UTC, ISO 8601), level, message, logger, pid, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "pid": os.getpid(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(hidden(entry), ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Formats the message alone, at the levels info and debug with time and logger."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = hide_secrets(super().format(record))
        # What a command says to its user looks the same with and without --log-level.
        return (
            text
            if record.name == log.name or record.levelno >= logging.WARNING
            else f"{stamp(record)} {text}"
        )


class Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Handler that writes to the current sys.stderr, not to that of its creation."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:  # noqa: ANN401 - as typeshed has it
        """Return stderr."""
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:  # noqa: ANN401
        """Ignore another stream."""


_handler = Stderr()


def stamp(record: logging.LogRecord) -> str:
    """Return "12:03:04.123 debug imgvec_pg.backfill.worker:"."""
    when = datetime.fromtimestamp(record.created)
    return f"{when:%H:%M:%S}.{int(record.msecs):03} {record.levelname.lower()} {record.name}:"


def hidden(value: Any) -> Any:  # noqa: ANN401 - anything that JSON can hold
    """Return a value with the secrets in its strings hidden."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {name: hidden(item) for name, item in value.items()}
    return value


def set_up_logs(log_format: str, level: str | None) -> None:
    """Send the library's log to stderr; not that of others, such as psycopg's, which may quote a misspelt password.

    Args:
        log_format: "text" or "json".
        level: The least that is shown; None: "warning" as text, "info" as JSON.
    """
    is_json = log_format == "json"
    chosen = (level or ("info" if is_json else "warning")).upper()
    _handler.setFormatter(JsonFormatter() if is_json else TextFormatter())
    logger = logging.getLogger(OWN)
    logger.setLevel(chosen)
    if _handler not in logger.handlers:
        logger.addHandler(_handler)
    # Libraries put a handler on the root (open_clip by logging.info()): it would repeat each line, with its passwords.
    logger.propagate = False
    # What a command says to its user is said at any level, as text without --log-level.
    log.setLevel("INFO")


def is_json() -> bool:
    """Whether stderr is read by a log collector."""
    return isinstance(_handler.formatter, JsonFormatter)


def say(message: str, **fields: object) -> None:
    """Tell the user on stderr; `fields` are for a log collector only."""
    if is_json():
        log.info("%s", message, extra={"fields": fields})
    else:
        click.echo(hide_secrets(message), err=True)


def complain(message: str) -> None:
    """Tell on stderr, in one line, why the command ends."""
    line = hide_secrets(" ".join(message.split()))
    if is_json():
        log.error("%s", line)
    else:
        click.echo(f"imgvec: {line}", err=True)


def raw_line(message: str) -> bytes:
    """Return a line as it may be written from a signal handler, which must not wait for a logger's lock."""
    if not is_json():
        return f"{message}\n".encode()
    record = logging.LogRecord(log.name, logging.INFO, "", 0, message, None, None)
    return f"{JsonFormatter().format(record)}\n".encode()
