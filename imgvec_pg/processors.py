"""How many processors this process may use: by its affinity, and by the CPU quota of its control groups, as a container has."""

import math
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """Return how many CPUs this process may use, at least 1. Part of one counts as one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(min(count, math.ceil(quota)), 1)


def cpu_quota() -> float | None:
    """Return the least quota of this process's control groups and those above them, in CPUs; None without any.

    Both versions of control groups: `cpu.max` (Documentation/admin-guide/cgroup-v2.rst), and `cpu.cfs_quota_us` over
    `cpu.cfs_period_us` (Documentation/scheduler/sched-bwc.rst). In a container the group's path may be the host's, which is not
    there: then the root that is mounted is the container's own.
    """
    quotas: list[float] = []
    with suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = GROUPS / controllers if controllers else GROUPS
            own = PurePosixPath(path.lstrip("/"))
            for folder in (own, *own.parents):
                quota = _quota_of(root / folder) if controllers else _unified_quota_of(root / folder)
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _unified_quota_of(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()  # "max 100000" without one
        return int(quota) / int(period)
    return None


def _quota_of(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())  # -1 without one
        if quota > 0:
            return quota / int((folder / "cpu.cfs_period_us").read_text())
    return None
