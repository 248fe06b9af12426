"""Options of `imgvec backfill` and `imgvec worker` as one object."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.settings import lease_seconds, own_collections


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options as given; those with a default belong to `imgvec backfill` alone.

    Attributes:
        collections: Names of --collections; empty where one collection is worked.
        batch_size: Images embedded together; PROBED for what probing finds.
        workers: Processes on this machine.
        limit: Stop after this many rows.
        parent: Process to end with.
        duplicates_every_seconds: Between runs of imgvec duplicates; None for none.
    """

    dsn: str
    collections: tuple[str, ...]
    batch_size: int
    decode_threads: int
    root: Path | None
    rate: float | None
    max_replica_lag_seconds: float | None
    pause_when: tuple[Hours, ...]
    metrics_port: int | None
    metrics_host: str
    weights: Path | None
    device: str
    precision: str
    runtime: str
    workers: int = 1
    limit: int | None = None
    dry_run: bool = False
    no_index: bool = False
    parent: int | None = None
    as_json: bool = False
    duplicates_every_seconds: float | None = None

    def load(self, model_name: str) -> Embedder:
        """Load a model as --weights, --device, --precision and --runtime say.

        Raises:
            ModelError: It cannot be loaded here.
        """
        return load_embedder(
            model_name,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            may_export=True,
        )

    def pipeline(self, batch_size: int, *, follow: bool, share: int = 1) -> PipelineOptions:
        """Return how each of `share` workers works; the rate is theirs together."""
        rate = None if self.rate is None else self.rate / share
        return PipelineOptions(
            batch_size=batch_size,
            decode_threads=self.decode_threads,
            follow=follow,
            limit=self.limit,
            root=self.root,
            lease_seconds=lease_seconds(),
            allowance=Allowance(rate, self.max_replica_lag_seconds, self.pause_when),
        )


def with_run_options(
    command: Callable[[click.Context, str | None, RunOptions], None],
) -> Callable[..., None]:
    """Give a command its options as one object; NAME and the context stay beside."""

    @functools.wraps(command)
    def gathered(context: click.Context, name: str | None, **options: Any) -> None:  # noqa: ANN401
        chosen = RunOptions(**options)
        if name is None and not chosen.collections:
            own = own_collections()
            name = own[0] if len(own) == 1 else None
            chosen = replace(chosen, collections=own if len(own) > 1 else ())
        command(context, name, chosen)

    return gathered
