"""The distributions as a release would have them, built once a process, and environments of the wheel."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from applicationenv import Environment, build, make_environment


@dataclass(frozen=True)
class Distributions:
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return Distributions(*build(tmp_path_factory.mktemp("dist")))


@pytest.fixture(scope="session")
def plain(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give the environment of `pip install imgvec-pg`."""
    return make_environment(tmp_path_factory.mktemp("plain") / "env", distributions.wheel)


@pytest.fixture(scope="session")
def application(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give the environment of `pip install 'imgvec-pg[django,flask]'`."""
    return make_environment(
        tmp_path_factory.mktemp("application") / "env", distributions.wheel, extras=("django", "flask")
    )
