"""Priority of a worker's own processes beside a database on the same machine."""

import os
import re
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority(nice: int) -> None:
    """Give way to others' processes, as far as `nice` says; call it before the model is loaded.

    Threads and children that begin later take the value over. On Linux with sched_autogroup_enabled sessions are weighed before
    processes (man 7 sched), and each of PostgreSQL's processes is a session of its own: so the session of a process that leads
    one, such as a service, gets the value too. A terminal's session is its user's, and stays. What a process has already is
    never raised, which takes a privilege.

    Args:
        nice: 1 to 19; 0 changes nothing.
    """
    if not nice or not hasattr(os, "nice"):
        return
    # Threads of a model that wait for each other do so at full speed otherwise, a core each, whoever needs it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.nice(max(nice - os.nice(0), 0))
    weighed = session_nice()
    if weighed is not None and weighed < nice and os.getsid(0) == os.getpid():
        with suppress(OSError):  # /proc is not ours to write, as in many containers
            AUTOGROUP.write_text(str(nice))


def session_nice() -> int | None:
    """Return the nice value by which Linux weighs this process's session; None where sessions are not weighed.

    The file is missing without autogroups, and empty for a process whose session has no group of its own
    (proc_sched_autogroup_show_task in kernel/sched/autogroup.c, Linux 6.12), as a container's first one may not.
    """
    try:
        text = AUTOGROUP.read_text()
    except OSError:
        return None
    weighed = re.search(r" nice (-?\d+)$", text)  # "/autogroup-42 nice 0"
    return int(weighed[1]) if weighed else None
