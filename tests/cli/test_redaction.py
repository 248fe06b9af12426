"""No password gets into what people read: neither whole nor in parts."""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.cli.output.messages import JsonFormatter
from imgvec_pg.cli.process_title import without_dsn
from imgvec_pg.errors import ImageError
from imgvec_pg.redaction import has_secret, hide_secrets

SECRET = "zebrawagon"
HALVES = ("zebra", "wagon")
# Rightly written and not: libpq stumbles over the latter, each at another place. Nothing listens on port 1.
DSNS = [
    f"postgresql://ann:{SECRET}@127.0.0.1:1/shop",
    f"postgres://ann:{SECRET}@127.0.0.1:1/shop",
    f"host=127.0.0.1 port=1 user=ann password={SECRET}",
    f"host=127.0.0.1 port=1 password = '{SECRET}' user=ann",
    f"postgresql://ann@127.0.0.1:1/shop?password={SECRET}",
    f"postgresql://ann:{SECRET}@127.0.0.1:1/shop?sslmode=nonsense",
    "postgresql://ann:zebra@wagon@127.0.0.1:1/shop",
    "postgresql://ann:zebra/wagon@127.0.0.1:1/shop",
    "postgresql://ann:zebra:wagon@127.0.0.1:1/shop",
    "postgresql://ann:zebra#wagon@127.0.0.1:1/shop",
    "postgresql://ann:zebra%wagon@127.0.0.1:1/shop",
    f"postgresql://ann:{SECRET}@[::1/shop",
    f"postgresql://ann:{SECRET}@127.0.0.1:port/shop",
    f"postgresql//ann:{SECRET}@127.0.0.1/shop",
    "host=127.0.0.1 port=1 password=zebra wagon",
    "host=127.0.0.1 port=1 password=zebra wagon=1",
    "host=127.0.0.1 port=1 password='zebra wagon",
    f"host=127.0.0.1 port=1 pasword={SECRET} password=zebra",
]


def leaks(text: str) -> bool:
    return any(half in text for half in HALVES)


@pytest.mark.parametrize("dsn", DSNS)
@pytest.mark.parametrize("debug", [False, True])
def test_a_command_that_cannot_connect_says_nothing_of_the_password(
    dsn: str, debug: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["status"]
    if debug:
        monkeypatch.setenv("IMGVEC_DEBUG", "1")
        command = ["worker", "--log-level", "debug", "--log-format", "json"]
    assert run(cli, [*command, "--dsn", dsn]) == 3
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert "cannot connect" in said or "connection string is not valid" in said
    assert not leaks(said), said


def test_what_a_password_has_no_part_in_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run(cli, ["status", "--dsn", f"postgresql://ann:{SECRET}@127.0.0.1:1/shop"])
    assert 'connection to server at "127.0.0.1", port 1 failed' in capsys.readouterr().err
    run(cli, ["status", "--dsn", "host=127.0.0.1 port=1 nonsense=1"])
    assert 'invalid connection option "nonsense"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no secrets: a@b, x=1, http://host/a", "no secrets: a@b, x=1, http://host/a"),
        ("get https://ann:pw@host/a.png now", "get https://ann:***@host/a.png now"),
        ("get http://host:8080/a@2x.png", "get http://host:8080/a@2x.png"),
        ("https://b.s3/a?X-Amz-Signature=abc&v=1", "https://b.s3/a?X-Amz-Signature=***&v=1"),
        ("PASSWORD='it''s' and password=x", "PASSWORD=*** and password=***"),
        (
            "LINE 1: OPTIONS (user 'ann', password 'it''s') SERVER",
            "LINE 1: OPTIONS (user 'ann', password ***) SERVER",
        ),
        ("no password supplied, 'x' was expected", "no password supplied, 'x' was expected"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:***@h/d"),
    ],
)
def test_secrets_are_hidden_and_all_else_is_kept(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_an_error_about_a_picture_hides_the_password_of_its_url() -> None:
    error = ImageError("scheme_denied", "'https://ann:pw@host/a.png' is a URL")
    assert str(error) == "'https://ann:***@host/a.png' is a URL"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="'\""), min_size=4))
def test_no_url_gives_its_password_away(password: str) -> None:
    text = f"cannot reach postgresql://ann:{password}@db.example/shop today"
    hidden = hide_secrets(text)
    assert hidden == "cannot reach postgresql://ann:***@db.example/shop today"
    assert has_secret(text)


def test_a_log_line_is_one_object_without_secrets() -> None:
    record = logging.LogRecord("imgvec_pg.x", logging.WARNING, "", 0, "at %s\nof", ("https://a:pw@h/",), None)
    record.fields = {"url": "https://a:pw@h/", "rows": 3}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "at https://a:***@h/\nof"
    assert (entry["level"], entry["logger"], entry["rows"]) == ("warning", "imgvec_pg.x", 3)
    assert entry["url"] == "https://a:***@h/" and entry["time"].endswith("+00:00")


def test_dsn_is_taken_out_of_arguments() -> None:
    assert without_dsn(["status", "--dsn", "x", "--json"]) == (["status", "--json"], "x")
    assert without_dsn(["status", "--dsn=x"]) == (["status"], "x")
    assert without_dsn(["search", "--", "--dsn", "x"]) == (["search", "--", "--dsn", "x"], None)


def test_the_list_of_processes_does_not_show_the_password() -> None:
    # A server that accepts and says nothing keeps the command waiting.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "imgvec_pg",
                "status",
                "--dsn",
                f"postgresql://ann:{SECRET}@127.0.0.1:{port}/shop",
            ],
            env={name: value for name, value in os.environ.items() if name != "IMGVEC_DSN"},
            stderr=subprocess.PIPE,
        )
        try:
            server.settimeout(30)
            client, _ = server.accept()
            with client:
                shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            assert shown.endswith("-m imgvec_pg status ") and not leaks(shown)
        finally:
            process.kill()
            process.communicate()
