"""Shards whose servers were copied from one, as from an image of a machine: each is a database of its own."""

import shutil
import subprocess
from contextlib import ExitStack

import pytest
from fresh_databases import Server, fresh_database
from memory_disk import make_server_directory

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade

QUICK = {"fsync": "off"}


def test_two_servers_of_one_image_are_two_shards(
    server: Server, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(fresh_database(server, template))
        folders = [make_server_directory("imgvec-copied-") for _ in range(2)]
        for folder in folders:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with (
            LocalServer(folders[0], settings=QUICK, die_with_parent=True) as image,
            connect(image.dsn()) as connection,
        ):
            upgrade(connection)
        # With its owners.
        subprocess.run(["cp", "-a", f"{folders[0]}/.", str(folders[1])], check=True)
        started = [
            stack.enter_context(LocalServer(folder, settings=QUICK, die_with_parent=True))
            for folder in folders
        ]
        for name, each in zip(("one", "two"), started, strict=True):
            assert run(cli, ["shard", "add", name, "--at", each.dsn(), "--dsn", here]) == 0
        assert run(cli, ["shard", "add", "three", "--at", started[1].dsn(), "--dsn", here]) == 1
        assert 'this database is shard "two" already' in capsys.readouterr().err
