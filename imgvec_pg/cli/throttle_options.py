"""Options that hold a worker back, as click decorators: rate, server's time, replica lag, quiet hours, nice value."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imgvec_pg.backfill.quiet_hours import Hours, parse_hours, require_time_to_work
from imgvec_pg.errors import UsageError

WORKER_SHARE_PERCENT = 1.0
"""Of one worker beside an application: of two, its statements then meet theirs so seldom that its p99 stays
(benchmarks/results/priorities.txt)."""
WORKER_NICE = 5
"""Linux weighs nice 5 with 335 where 0 has 1,024 (kernel/sched/core.c: sched_prio_to_weight): a third, enough to load a model and
to end transactions on a machine that is always busy, for which 10, with 110, and 19, with 15, were too little
(docs/howto/production.md)."""
Command = TypeVar("Command", bound=Callable[..., Any])


def parse_each_hours(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[Hours, ...]:
    """Turn the texts of --pause-when into hours."""
    try:
        hours = tuple(parse_hours(value) for value in values)
        require_time_to_work(hours)
    except UsageError as error:
        raise click.BadParameter(str(error), context, parameter) from error
    return hours


def throttle_options(command: Command) -> Command:
    """Add --rate, --server-share, --max-replica-lag and --pause-when: what a fill may ask of the database."""
    return _add(command, None)


def worker_throttle_options(command: Command) -> Command:
    """Add the same with a share that an application does not notice, and --nice for its processor."""
    nice = click.option(
        "--nice",
        type=click.IntRange(0, 19),
        default=WORKER_NICE,
        show_default=True,
        metavar="N",
        help="Nice value of this process; of its session too where it leads one, as a service does. 0 changes nothing.",
    )
    return _add(nice(command), WORKER_SHARE_PERCENT)


def _add(command: Command, share_percent: float | None) -> Command:
    options = (
        click.option(
            "--rate",
            type=click.FloatRange(min=0, min_open=True),
            metavar="IMAGES/S",
            help="At most this many images a second on average, all of --workers together.",
        ),
        click.option(
            "--server-share",
            "server_share_percent",
            type=click.FloatRange(min=0, max=100, min_open=True),
            default=share_percent,
            show_default=share_percent is not None,
            metavar="PERCENT",
            help="Spend at most this much of the time in the server, in small statements, all of --workers together; "
            "100 is no bound.",
        ),
        click.option(
            "--max-replica-lag",
            "max_replica_lag_seconds",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Claim nothing while a standby is further behind (needs pg_monitor).",
        ),
        click.option(
            "--pause-when",
            "pause_when",
            multiple=True,
            callback=parse_each_hours,
            metavar="HOURS",
            help='Claim nothing in these hours by the database\'s clock, such as "mon-fri 09:00-17:30"; may be repeated.',
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def share_of(percent: float | None, parts: int = 1) -> float | None:
    """Return the share of the time that each of `parts` workers may spend in the server, in (0, 1); None for no bound."""
    return None if percent is None or percent >= 100 else percent / 100 / parts
