"""`imgvec doctor`: check a database, or the plan of one query."""

import dataclasses
from collections import Counter

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.database.connect import connect
from imgvec_pg.doctor.finding import LEVELS, Finding
from imgvec_pg.doctor.query_checks import advise
from imgvec_pg.doctor.run import diagnose

COLORS = {"error": "red", "warning": "yellow", "info": "blue", "ok": "green"}
MARGIN = max(len(level) for level in LEVELS) + 2


@click.command()
@dsn_option
@json_option
@click.option(
    "--query",
    metavar="SQL",
    help="Check this query instead: its plan, why it cannot use the index, and the fix. It is not run.",
)
@click.pass_context
def doctor(context: click.Context, dsn: str, as_json: bool, query: str | None) -> None:
    """Check a database and say what to do about what is wrong.

    Looks at versions, settings, roles, rights, indexes, triggers, the queue and the workers, and changes nothing. The
    worst comes first. Exit code 1 when there is an error.

    \b
    Example:
      imgvec doctor --dsn postgresql:///shop
      imgvec doctor --query "SELECT id FROM imgvec.near_product_clip_row(42) ORDER BY 1 - distance DESC LIMIT 10"
    """
    with connect(dsn, application_name="imgvec doctor") as connection:
        database = connection.info.dbname
        findings = diagnose(connection) if query is None else advise(connection, query)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    counts: Counter[str] = Counter(finding.level for finding in findings)
    if as_json:
        echo_json(
            {
                "database": database,
                "counts": {level: counts[level] for level in LEVELS},
                "findings": [dataclasses.asdict(finding) for finding in findings],
            }
        )
    else:
        print_findings(findings)
        click.echo(f'\ndatabase "{database}": {summary(counts)}')
    if counts["error"]:
        context.exit(1)


def print_findings(findings: list[Finding]) -> None:
    """Print level, subject and what was met; below it, after an arrow, what to do next."""
    for finding in findings:
        level = click.style(f"{finding.level:<{MARGIN}}", fg=COLORS[finding.level], bold=True)
        click.echo(f"{level}{finding.subject}: {finding.met}")
        if finding.next_step:
            click.echo(f"{' ' * MARGIN}→ {finding.next_step}")


def summary(counts: Counter[str]) -> str:
    """Return "1 error, 2 warnings, 7 ok"."""
    words = []
    for level in LEVELS:
        plural = "s" if level in ("error", "warning") and counts[level] != 1 else ""
        if counts[level] or level == "error":
            words.append(f"{counts[level]} {level}{plural}")
    return ", ".join(words)
