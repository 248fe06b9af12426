"""`make audit`: look the tested versions of all dependencies up in PyPI's list of known vulnerabilities.

Exit code 0: each was looked up and none is listed. 1: some are. 3: not run, or not for all, as without a network: no pass.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
SHOWN = 5


def run_pip_audit() -> "subprocess.CompletedProcess[str]":
    """Audit the constraints as they stand; nothing is resolved or installed."""
    options = [
        "--no-deps",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
        "--timeout",
        "20",
    ]
    return subprocess.run(
        [sys.executable, "-m", "pip_audit", "-r", str(CONSTRAINTS), *options],
        capture_output=True,
        text=True,
        check=False,
    )


def judge(dependencies: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit code and what to say of pip-audit's list."""
    skipped = [item["name"] for item in dependencies if "skip_reason" in item]
    lines = [
        f"{item['name']} {item['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no release yet'}"
        for item in dependencies
        for found in item.get("vulns", ())
    ]
    if lines:
        return 1, lines
    if skipped or not dependencies:
        more = f" and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        return 3, [
            f"not run for {len(skipped)} of {len(dependencies)} packages, which the package index said nothing of: "
            f"{', '.join(skipped[:SHOWN])}{more}"
        ]
    return 0, [f"{len(dependencies)} packages, no known vulnerability"]


def main() -> int:
    """Audit and print."""
    outcome = run_pip_audit()
    try:
        dependencies = json.loads(outcome.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (outcome.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        print(f"audit: not run: {last}")
        return 3
    code, lines = judge(dependencies)
    for line in lines:
        print(f"audit: {line}")
    return code


if __name__ == "__main__":
    sys.exit(main())
