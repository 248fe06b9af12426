"""Options that hold a worker back, as click decorators: rate, server's time, replica lag, quiet hours, nice value."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from imgvec_pg.backfill.others_at_work import TRANSACTIONS_PER_SECOND
from imgvec_pg.backfill.quiet_hours import Hours, parse_hours, require_time_to_work
from imgvec_pg.errors import UsageError

WORKER_SHARE_PERCENT = 1.0
"""Of one worker beside an application: of two, its statements then meet theirs so seldom that its p99 stays
(benchmarks/results/priorities.txt)."""
WORKER_NICE = 5
"""Linux weighs nice 5 with 335 where 0 has 1,024 (kernel/sched/core.c: sched_prio_to_weight): a third, enough to load a model and
to end transactions on a machine that is always busy, for which 10, with 110, and 19, with 15, were too little
(docs/howto/production.md)."""
AUTO: Literal["auto"] = "auto"
"""WORKER_SHARE_PERCENT while others use the server, no bound otherwise."""
Percent = float | Literal["auto"] | None
"""A share of the server's time in percent as it is asked for; None for no bound."""
Command = TypeVar("Command", bound=Callable[..., Any])


class ShareType(click.FloatRange):
    """A share in percent, or "auto"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        """Return the number, or AUTO."""
        return AUTO if value == AUTO else super().convert(value, param, ctx)


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
    """Add the same with a share that an application beside does not notice, and --nice for its processor."""
    nice = click.option(
        "--nice",
        type=click.IntRange(0, 19),
        default=WORKER_NICE,
        show_default=True,
        metavar="N",
        help="Nice value of this process; of its session too where it leads one, as a service does. 0 changes nothing.",
    )
    return _add(nice(command), AUTO)


def _add(command: Command, share_percent: Percent) -> Command:
    share_type = click.FloatRange if share_percent is None else ShareType
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
            type=share_type(min=0, max=100, min_open=True),
            default=share_percent,
            show_default=share_percent is not None,
            metavar="PERCENT" if share_percent is None else "PERCENT|auto",
            help="Spend at most this much of the time in the server, in small statements, all of --workers together; "
            "100 is no bound."
            + (
                ""
                if share_percent is None
                else f" auto: {WORKER_SHARE_PERCENT:g} while others make more than {TRANSACTIONS_PER_SECOND:g} transactions a "
                "second, no bound while they do not."
            ),
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


def share_of(percent: Percent, parts: int = 1) -> float | None:
    """Return the share of the time that each of `parts` workers may spend in the server, in (0, 1); None for no bound."""
    if percent == AUTO:
        percent = WORKER_SHARE_PERCENT
    return None if percent is None or percent >= 100 else percent / 100 / parts
