"""docker-compose.yml, as far as a machine without Docker can tell."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from imgvec_pg.cli.main import cli
from imgvec_pg.doctor.server_checks import RECOMMENDED_PGVECTOR

ROOT = Path(__file__).parents[2]
PROJECT_FILES = {"constraints.txt", ".[models]"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert isinstance(found, dict)
    return found


def shell_commands(service: dict[str, Any]) -> list[list[str]]:
    """Return the commands that a service's `sh -c` runs, its variables set to product_clip."""
    program, option, script = shlex.split(service["command"])
    assert (program, option) == ("sh", "-c")
    script = re.sub(r"\$\{\w+[^}]*\}", "product_clip", script)
    return [shlex.split(part.strip().removeprefix("exec ")) for part in script.split("&&")]


def test_the_database_is_a_pgvector_that_is_recommended_on_postgresql_17(services: dict[str, Any]) -> None:
    found = re.fullmatch(r"pgvector/pgvector:([\d.]+)-pg17", services["db"]["image"])
    assert found is not None
    assert tuple(map(int, found[1].split("."))) >= RECOMMENDED_PGVECTOR


def test_the_database_is_on_loopback_keeps_its_data_and_says_when_it_is_ready(
    services: dict[str, Any],
) -> None:
    database = services["db"]
    [port] = database["ports"]
    assert port.split(":")[0] == "127.0.0.1" and port.endswith(":5432")
    [volume] = database["volumes"]
    name, folder = volume.split(":")
    assert folder == "/var/lib/postgresql/data"
    assert name in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    kind, test = database["healthcheck"]["test"]
    assert kind == "CMD-SHELL" and shlex.split(test)[0] == "pg_isready"
    assert services["worker"]["depends_on"]["db"] == {"condition": "service_healthy"}


def test_the_worker_asks_the_database_service_with_its_password(services: dict[str, Any]) -> None:
    environment = services["worker"]["environment"]
    assert environment["PGHOST"] in services
    assert environment["PGPASSWORD"] == services["db"]["environment"]["POSTGRES_PASSWORD"]


def test_the_workers_commands_are_real_ones(services: dict[str, Any]) -> None:
    commands = shell_commands(services["worker"])
    assert [command[:2] for command in commands] == [
        ["pip", "install"],
        ["imgvec", "migrate"],
        ["imgvec", "worker"],
    ]
    files = [word for word in commands[0][2:] if not word.startswith("-")]
    assert set(files) == PROJECT_FILES and all((ROOT / name.split("[")[0]).exists() for name in files)
    for _, name, *arguments in commands[1:]:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        context = command.make_context(name, arguments)
        assert context.params.get("name", "product_clip") == "product_clip"
