"""Files that only other machines run: workflows and hooks, held to their schema and to what the project has. CHANGELOG's form."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from applicationenv import ROOT

from imgvec_pg import __version__

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Of Keep a Changelog 1.1."""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    assert found is not None, f"{program} is not installed: pip install -e '.[dev]'"
    return subprocess.run(
        [found, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(workflow: Path) -> list[str]:
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def test_workflows_are_what_github_s_schema_and_zizmor_expect() -> None:
    assert [path.stem for path in WORKFLOWS] == ["matrix", "test", "wheel"]
    schema = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    assert schema.returncode == 0, schema.stdout + schema.stderr
    rules = run("zizmor", "--offline", "--quiet", *WORKFLOWS)
    assert rules.returncode == 0, rules.stdout + rules.stderr


def test_dependabot_s_configuration_is_what_its_schema_and_zizmor_expect(tmp_path: Path) -> None:
    file = ROOT / ".github" / "dependabot.yml"
    schema = run("check-jsonschema", "--builtin-schema", "vendor.dependabot", file)
    assert schema.returncode == 0, schema.stdout + schema.stderr
    rules = run("zizmor", "--offline", "--quiet", file)
    assert rules.returncode == 0, rules.stdout + rules.stderr
    wrong = tmp_path / "dependabot.yml"
    wrong.write_text(file.read_text().replace("interval: monthly", "interval: sometimes"))
    assert run("check-jsonschema", "--builtin-schema", "vendor.dependabot", wrong).returncode == 1


def test_a_workflow_that_is_wrong_would_be_told(tmp_path: Path) -> None:
    """The two linters do read them: a misspelt key, and a title of a pull request in a shell."""
    [first] = [path for path in WORKFLOWS if path.stem == "test"]
    misspelt, unsafe = tmp_path / "misspelt.yml", tmp_path / "unsafe.yml"
    misspelt.write_text(first.read_text().replace("timeout-minutes", "timeout-minute"))
    unsafe.write_text(
        first.read_text().replace("run: make test", "run: echo ${{ github.event.pull_request.title }}")
    )
    assert run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", misspelt).returncode == 1
    assert "template-injection" in run("zizmor", "--offline", unsafe).stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_the_makefile_has(workflow: Path) -> None:
    for command in commands(workflow):
        program, *arguments = command.split()
        assert program == "make"
        assert {word for word in arguments if "=" not in word} <= targets()


def test_hooks_are_valid_and_their_programs_are_those_of_the_environment() -> None:
    done = run("pre-commit", "validate-config", HOOKS)
    assert done.returncode == 0, done.stdout + done.stderr
    [repository] = yaml.safe_load(HOOKS.read_text())["repos"]
    assert repository["repo"] == "local"
    installed = Path(sys.executable).parent
    for hook in repository["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin") and (installed / program.name).is_file()
    lint = (ROOT / "Makefile").read_text()
    assert all(Path(hook["entry"].split()[0]).name in lint for hook in repository["hooks"])


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[?([\w.]+)\]?(?: - (\d{4}-\d\d-\d\d)| \(unreleased\))$", text, re.MULTILINE)
    assert releases[0][0] in (__version__, "Unreleased")
    assert len(releases) == len(re.findall("^## ", text, re.MULTILINE))
    sections = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert sections and set(sections) <= set(SECTIONS)
    entries = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(entries) > 40
    assert all(len(entry) > 10 for entry in entries)


def test_the_package_and_its_metadata_have_one_version() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
