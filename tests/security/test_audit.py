"""An audit that did not look is no pass."""

import pytest
from audit import judge

CLEAN = {"name": "click", "version": "8.5.1", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "not found"}
VULNERABLE = {"name": "x", "version": "1", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([CLEAN], 0, "1 packages, no known vulnerability"),
        ([CLEAN, SKIPPED], 3, "not run for 1 of 2 packages, which the package index said nothing of: torch"),
        ([], 3, "not run for 0 of 0"),
        ([SKIPPED, VULNERABLE], 1, "x 1: CVE-2026-1, fixed in 1.1"),
    ],
)
def test_verdict(dependencies: list[dict[str, object]], code: int, said: str) -> None:
    assert judge(dependencies)[0] == code
    assert judge(dependencies)[1][0].startswith(said)
