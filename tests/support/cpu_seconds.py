"""`pytest -p cpu_seconds`: CPU time of each file and each test, with all processes that the tests started and their servers.

Prints the files that took most at the end; appends each test's seconds to the file that IMGVEC_TEST_CPU names, tab-separated,
as soon as they are known. The figures are the system's (/proc of Linux, 10 ms a tick); a daemon that left its parent is not among
them. A fixture counts for the test that needed it first.
"""

import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROPERTY = "cpu_seconds"
SHOWN = 40
BEGAN = pytest.StashKey[float]()
SECONDS_OF_FILES: dict[str, float] = defaultdict(float)


def tree_seconds() -> float:
    """Return the user and system time of this process and all below it, the ended ones that were waited for too."""
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # After the command's name, which may hold anything: state, parent, …, utime, stime, cutime, cstime from the 12th on.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children[int(fields[1])].append(int(folder.name))
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    total, waiting = 0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting += children[process]
    return total / TICKS_PER_SECOND


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note what was used before the test and its fixtures."""
    item.stash[BEGAN] = tree_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the seconds to the last report of the test, which pytest-xdist carries to the process that prints."""
    report = yield
    if report.when == "teardown":
        report.user_properties.append((PROPERTY, tree_seconds() - item.stash[BEGAN]))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a test's seconds to its file's, where results are printed."""
    if report.when != "teardown" or "PYTEST_XDIST_WORKER" in os.environ:
        return
    for seconds in (value for name, value in report.user_properties if name == PROPERTY):
        assert isinstance(seconds, float)
        SECONDS_OF_FILES[report.nodeid.partition("::")[0]] += seconds
        if target := os.environ.get("IMGVEC_TEST_CPU"):
            with Path(target).open("a") as file:
                file.write(f"{seconds:.2f}\t{report.nodeid}\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the files by their seconds, most first."""
    terminalreporter.section(f"CPU seconds: {sum(SECONDS_OF_FILES.values()):.0f}")
    ordered = sorted(SECONDS_OF_FILES.items(), key=lambda pair: -pair[1])
    for name, seconds in ordered[:SHOWN]:
        terminalreporter.line(f"{seconds:8.1f}  {name}")
