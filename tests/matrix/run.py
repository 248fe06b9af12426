"""`make matrix`: the tests that depend on versions, with the oldest and the newest packages and servers. Last line: a summary.

Usage: python tests/matrix/run.py [ENTRY…], names of entries or parts of them. Exit code 1 when tests fail; what cannot be had
is told as "not run".
"""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from overlay import HERE, ROOT, NotToBeHadError, install, make_environment, versions
from server import running

FOLDER = ROOT / ".matrix"
SHOWN = ("sqlalchemy", "alembic", "psycopg", "django", "flask")


def main(wanted: list[str]) -> int:
    """Run the entries and tell what became of each."""
    entries = tomllib.loads((Path(__file__).with_name("matrix.toml")).read_text())["entry"]
    chosen = [e for e in entries if not wanted or any(part.lower() in e["name"].lower() for part in wanted)]
    if not chosen:
        print(
            f"no entry is named {' or '.join(wanted)}; there are: {', '.join(e['name'] for e in entries)}",
            file=sys.stderr,
        )
        return 2
    results = {}
    for entry in chosen:
        print(f"--- {entry['name']}", flush=True)
        try:
            results[entry["name"]] = run_entry(entry)
        except NotToBeHadError as error:
            results[entry["name"]] = f"not run ({error})"
        print(f"    {results[entry['name']]}", flush=True)
    failed = [name for name, result in results.items() if result.startswith("FAILED")]
    missing = [name for name, result in results.items() if result.startswith("not run")]
    passed = len(results) - len(failed) - len(missing)
    told = [f"{passed} of {len(results)} passed"]
    told += [f"failed: {', '.join(failed)}"] if failed else []
    told += [f"not run: {', '.join(missing)}"] if missing else []
    print(f"matrix: {'; '.join(told)}")
    return 1 if failed else 0


def run_entry(entry: dict[str, Any]) -> str:
    """Run one entry's tests and return a line about it."""
    packages = entry.get("packages", [])
    slug = re.sub(r"[^a-z0-9]+", "-", entry["name"].lower())
    python, folders = HERE, []
    if "python" in entry:
        environments = FOLDER / f"python-{entry['python']}"
        python = make_environment(environments, entry["python"], entry["extras"])
    if packages:
        folders.append(install(FOLDER / slug, packages, python))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*folders, ROOT]))}
    with ExitStack() as stack:
        if "server" in entry:
            dsn, programs = stack.enter_context(running(FOLDER, entry["server"]))
            environment["IMGVEC_TEST_DSN"] = dsn
            environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
        outcome = subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *entry["tests"]],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
    lines = outcome.stdout.strip().splitlines() or [outcome.stderr.strip()[-300:]]
    for line in lines:
        if line.startswith(("FAILED", "ERROR", "SKIPPED", "postgresql:")):
            print(f"    {line[:200]}")
    shown = versions(folders, [*packages, *SHOWN], python)
    return f"{'passed' if outcome.returncode == 0 else 'FAILED'}: {lines[-1].strip('= ')} with {shown}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
