"""The options of `imgvec collection switch` as one value."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.cli.commands.collection.spec_options import cut_name, dimensions_options, read_bands
from imgvec_pg.cli.options import (
    json_option,
    lock_timeout_option,
    model_options,
    pipeline_options,
)
from imgvec_pg.cli.throttle_options import share_of, throttle_options
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import UsageError
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.settings import lease_seconds

Command = TypeVar("Command", bound=Callable[..., Any])


def name_to(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Tell of `--model`, as `collection create` has it, what it is called here."""
    if value is not None:
        raise click.NoSuchOption("--model", f"No such option '--model'; say --to {value}", ctx=context)


OPTIONS = (
    click.option(
        "--to", metavar="MODEL", help="Model to switch to, or a collection of the same source that is there."
    ),
    click.option(
        "--model",
        is_flag=False,
        flag_value="MODEL",
        hidden=True,
        expose_value=False,
        callback=name_to,
        help="Names --to.",
    ),
    click.option("--back", is_flag=True, help="Switch back to what the alias pointed to before."),
    click.option("--name", "collection_name", metavar="COLLECTION", help="What to call the new collection."),
    click.option(
        "--bands",
        metavar="R,G,B",
        callback=read_bands,
        help="Bands of TIFFs that the new collection shows, by the same model where --to is left out; none for the default.",
    ),
    dimensions_options,
    click.option(
        "--no-fill", is_flag=True, help="Embed nothing here: workers elsewhere fill the new collection."
    ),
    click.option("--report", "report_only", is_flag=True, help="Fill and compare; do not switch."),
    click.option(
        "--sample", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Rows to compare by."
    ),
    click.option(
        "--words",
        multiple=True,
        metavar="TEXT",
        help="Words to compare by, too; can be given again. Where no worker of a model runs, it is loaded for them.",
    ),
    click.option(
        "--accept-missing",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="ROWS",
        help="Switch with at most this many rows without a vector in the new collection.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask."),
    click.option("--dry-run", is_flag=True, help="Change nothing; say what it would take."),
    pipeline_options,
    throttle_options,
    model_options,
    lock_timeout_option,
    json_option,
)


@dataclass(frozen=True)
class SwitchOptions:
    """What `imgvec collection switch` is asked to do, each field after its option.

    Raises:
        UsageError: Both or none of `back` and what to switch to are given.
    """

    to: str | None
    back: bool
    collection_name: str | None
    bands: Bands | None
    dimensions: int | None
    force_dimensions: bool
    no_fill: bool
    report_only: bool
    sample: int
    words: tuple[str, ...]
    accept_missing: int
    yes: bool
    dry_run: bool
    batch_size: int
    decode_threads: int
    root: Path | None
    rate: float | None
    server_share_percent: float | None
    max_replica_lag_seconds: float | None
    pause_when: tuple[Hours, ...]
    weights: Path | None
    device: str
    precision: str
    lock_timeout_ms: int
    as_json: bool

    def __post_init__(self) -> None:
        asked = (self.to, self.bands, self.dimensions)
        if self.back == any(each is not None for each in asked):
            raise UsageError(
                "say what to switch to, --to MODEL, or --back to what it was before, or --bands R,G,B or --dimensions N alone "
                "for the same model"
            )

    def target(self, present_model: str) -> str | None:
        """Return the model or collection to switch to; None for the present model.

        Raises:
            UsageError: --force-dimensions stands alone.
        """
        if self.dimensions is None and not self.force_dimensions:
            return self.to
        return cut_name(self.to or present_model, self.dimensions, is_forced=self.force_dimensions)

    def pipeline(self, embedder: Embedder | None) -> PipelineOptions:
        """Return how the worker beside the command fills the new collection; None embeds nothing here."""
        return PipelineOptions(
            batch_size=self.batch_size if embedder is None else choose_batch_size(self.batch_size, embedder),
            decode_threads=self.decode_threads,
            follow=True,
            root=self.root,
            lease_seconds=lease_seconds(),
            allowance=Allowance(
                rate=self.rate,
                max_replica_lag_seconds=self.max_replica_lag_seconds,
                pause_when=self.pause_when,
                server_share=share_of(self.server_share_percent),
            ),
        )


def switch_options(command: Command) -> Command:
    """Add all options; the command gets them as `options`."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **values: Any) -> Any:  # noqa: ANN401
        options = SwitchOptions(**{field.name: values.pop(field.name) for field in fields(SwitchOptions)})
        return command(*arguments, options=options, **values)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options  # type: ignore[return-value]
