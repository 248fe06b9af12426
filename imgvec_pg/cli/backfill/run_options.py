"""Options of `imgvec backfill` and `imgvec worker` as one object."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.cli.throttle_options import AUTO, Percent, share_of
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import UsageError
from imgvec_pg.settings import lease_seconds, own_collections
from imgvec_pg.store.index.refill import IndexChoice


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options as given; those with a default belong to `imgvec backfill` alone.

    Raises:
        UsageError: --force-int8 stands without --precision int8.

    Attributes:
        collections: Names of --collections; empty where one collection is worked.
        batch_size: Images embedded together; PROBED for what probing finds.
        workers: Processes on this machine.
        limit: Stop after this many rows.
        index: Whether many rows go into the live index, or it is built anew after them.
        parent: Process to end with.
        engine: "local", or "ray" for actors of a cluster.
        address: Of the Ray cluster; None for RAY_ADDRESS, else one of this machine for this command.
        actors: Workers on the cluster.
        cpus_per_actor: CPUs that the cluster keeps for each.
        gpus_per_actor: GPUs, or a part of one, that it keeps for each.
        profile: Print how busy each stage was.
        nice: Nice value to take on before anything is loaded; 0 for that which the process has.
        duplicates_every_seconds: Between runs of imgvec duplicates; None for none.
    """

    dsn: str
    collections: tuple[str, ...]
    batch_size: int
    decode_threads: int
    root: Path | None
    rate: float | None
    server_share_percent: Percent
    max_replica_lag_seconds: float | None
    pause_when: tuple[Hours, ...]
    metrics_port: int | None
    metrics_host: str
    weights: Path | None
    device: str
    precision: str
    runtime: str
    force_int8: bool = False
    workers: int = 1
    limit: int | None = None
    dry_run: bool = False
    no_index: bool = False
    index: IndexChoice = "auto"
    parent: int | None = None
    as_json: bool = False
    engine: str = "local"
    address: str | None = None
    actors: int = 1
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    profile: bool = False
    nice: int = 0
    duplicates_every_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse --force-int8 alone."""
        if self.force_int8 and self.precision != "int8":
            raise UsageError("--force-int8 goes with --precision int8")

    def load(self, model_name: str, images: int | None = None) -> Embedder:
        """Load a model as --weights, --device, --precision, --force-int8 and --runtime say.

        Args:
            images: How many it is to embed at most; None for many.

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
            force_int8=self.force_int8,
            images=images,
        )

    def pipeline(self, batch_size: int, *, follow: bool, share: int = 1) -> PipelineOptions:
        """Return how each of `share` workers works; the rate and the server's time are theirs together."""
        rate = None if self.rate is None else self.rate / share
        server_share = share_of(self.server_share_percent, share)
        return PipelineOptions(
            batch_size=batch_size,
            decode_threads=self.decode_threads,
            follow=follow,
            limit=self.limit,
            root=self.root,
            lease_seconds=lease_seconds(),
            allowance=Allowance(
                rate,
                self.max_replica_lag_seconds,
                self.pause_when,
                server_share,
                only_beside_others=self.server_share_percent == AUTO,
            ),
        )


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --engine and what belongs to Ray."""
    options = (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where workers run: on this machine, or as actors of a Ray cluster, with the extra [ray].",
        ),
        click.option(
            "--address",
            metavar="ADDRESS",
            help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT  [default: RAY_ADDRESS, else one of its own]",
        ),
        click.option(
            "--actors",
            type=click.IntRange(1, 1024),
            default=1,
            show_default=True,
            help="Workers on the cluster.",
        ),
        click.option(
            "--cpus-per-actor",
            type=click.FloatRange(min=0, min_open=True),
            default=1.0,
            show_default=True,
            help="CPUs that Ray keeps for each.",
        ),
        click.option(
            "--gpus-per-actor",
            type=click.FloatRange(min=0),
            default=0.0,
            show_default=True,
            help="GPUs that Ray keeps for each; 0.5 has two share one.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def require_one_engine(context: click.Context, options: RunOptions) -> None:
    """Refuse options of the engine that was not chosen, and one port for several processes.

    Raises:
        UsageError: One of them was given.
    """
    if options.workers > 1 and options.metrics_port is not None:
        raise UsageError(
            "--metrics-port serves one process, --workers starts several; start a backfill for each port"
        )
    if options.profile and (options.workers > 1 or options.engine != "local"):
        raise UsageError("--profile looks into one process: leave out --workers and --engine")
    if options.index != "auto" and (options.no_index or options.collections):
        raise UsageError(
            "--index is for one collection whose index may be built: leave out --no-index and --collections"
        )
    given = {
        name
        for name in ("address", "actors", "cpus_per_actor", "gpus_per_actor", "workers")
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    if options.engine == "local" and given - {"workers"}:
        option = sorted(given - {"workers"})[0].replace("_", "-")
        raise UsageError(f"--{option} is for --engine ray; here are --workers processes on this machine")
    if options.engine == "ray":
        if "workers" in given:
            raise UsageError("--workers is for this machine; with --engine ray give --actors")
        if options.collections or options.metrics_port is not None:
            raise UsageError(
                "--engine ray works on one collection and serves no metrics: leave out --collections and --metrics-port"
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
