"""Root of the command tree: names of all commands, imported when they are run."""

import importlib
from collections.abc import Sequence
from keyword import iskeyword

import click

from imgvec_pg import __version__

# Command -> its module and first line of help; a test holds the lines to the commands' own.
COMMANDS = {
    "demo": (
        "imgvec_pg.cli.commands.demo.command",
        "Search a small shop's pictures in a private PostgreSQL.",
    ),
    "server": (
        "imgvec_pg.cli.commands.server",
        "Run a private PostgreSQL with pgvector, needing no installation.",
    ),
    "migrate": ("imgvec_pg.cli.commands.migrate", "Create or upgrade imgvec's own schema in a database."),
    "uninstall": ("imgvec_pg.cli.commands.uninstall", "Remove imgvec and all embeddings from a database."),
    "doctor": ("imgvec_pg.cli.commands.doctor", "Check a database and say what to do about what is wrong."),
    "collection": ("imgvec_pg.cli.commands.collection.group", "Make a table's pictures searchable."),
    "model": ("imgvec_pg.cli.commands.model.group", "List models, fetch their weights, check and time them."),
    "add": ("imgvec_pg.cli.commands.add", "Add picture files, folders and tars to the built-in library."),
    "library": ("imgvec_pg.cli.commands.library.group", "List and forget pictures of the built-in library."),
    "backfill": ("imgvec_pg.cli.commands.backfill", "Embed all rows in the queue, then build the index."),
    "worker": ("imgvec_pg.cli.commands.worker", "Keep embedding what changes, until stopped."),
    "status": ("imgvec_pg.cli.commands.status", "Show progress, queue and workers of each collection."),
    "failures": ("imgvec_pg.cli.commands.failures", "List rows that could not be embedded, and why."),
    "retry": (
        "imgvec_pg.cli.commands.retry_rows",
        "Enqueue failed rows again, or those that newer rendering changes.",
    ),
    "verify": (
        "imgvec_pg.cli.commands.verify",
        "Check that rows, embeddings, failures and queue agree, and say what does not.",
    ),
    "index": ("imgvec_pg.cli.commands.index.group", "Build, tune and look at a collection's index."),
    "recall": (
        "imgvec_pg.cli.commands.recall",
        "Measure recall and latency of the index.",
    ),
    "words": ("imgvec_pg.cli.commands.words", "Let plain SQL find words: queries ask a running worker."),
    "shard": ("imgvec_pg.cli.commands.shard", "Search a collection whose rows lie on several servers."),
    "import": (
        "imgvec_pg.cli.commands.transfer.import_command",
        "Import vectors that exist elsewhere into a collection.",
    ),
    "export": (
        "imgvec_pg.cli.commands.transfer.export_command",
        "Export a collection's vectors as parquet or .npy files, or as a table of LanceDB.",
    ),
    "search": ("imgvec_pg.cli.commands.search", "Find the nearest pictures to words, a picture or a row."),
    "browse": (
        "imgvec_pg.cli.commands.browse",
        "Look at a collection's pictures in a web browser, and search them.",
    ),
    "page": ("imgvec_pg.cli.commands.queries.page", "Read a long answer page by page, exactly."),
    "recommend": (
        "imgvec_pg.cli.commands.queries.recommend",
        "Find what somebody may like, from what they liked.",
    ),
    "classify": (
        "imgvec_pg.cli.commands.queries.classify",
        "Give each row the label that suits it, without training.",
    ),
    "matrix": ("imgvec_pg.cli.commands.queries.matrix", "Show how alike some rows are among each other."),
    "map": (
        "imgvec_pg.cli.commands.queries.map",
        "Place every picture of a collection on a map, like beside like, in named clusters.",
    ),
    "duplicates": (
        "imgvec_pg.cli.commands.queries.duplicates",
        "Find every pair of near-duplicates of a collection.",
    ),
    "fuse": (
        "imgvec_pg.cli.commands.queries.fuse",
        "Ask two collections of one table and fuse their answers.",
    ),
    "completion": (
        "imgvec_pg.cli.commands.completion",
        "Print the script that lets a shell complete commands, options and names.",
    ),
    "calibrate": (
        "imgvec_pg.cli.commands.queries.calibrate",
        "Measure how far apart random pairs are, for percentiles.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command, named like the command there."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        # A word of Python's own, "import", ends in an underscore there.
        command: click.Command = getattr(module, f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name)
        if ctx and ctx.resilient_parsing:  # a shell asks what could follow
            from imgvec_pg.cli.name_completion import add_names

            add_names(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was probably meant when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{suggestion(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean …?" or nothing."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; see imgvec --help"


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imgvec")
def cli() -> None:
    """Image search inside the PostgreSQL you already run.

    The connection is libpq's: --dsn, IMGVEC_DSN, or PGHOST, PGDATABASE, PGUSER and so on.

    \b
    A table's pictures, searchable in four steps:
      imgvec migrate
      imgvec collection create product_clip --source shop.product --image photo_path \\
          --root /srv/photos --model ViT-B-32/laion2b_s34b_b79k
      imgvec backfill product_clip
      imgvec search "red leather shoes" --where "price < 50"
    """
