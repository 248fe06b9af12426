"""Options that several commands share, as click decorators."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from imgvec_pg.cli.output.messages import FORMATS, LEVELS, set_up_logs
from imgvec_pg.images.limits import (
    MAX_ASPECT,
    MAX_IMAGE_BYTES,
    MAX_PIXELS,
    MOST_ASPECT,
    MOST_BYTES,
    MOST_PIXELS,
)
from imgvec_pg.settings import dsn_from_environment

LIMITS = {
    "max_pixels": "IMGVEC_MAX_PIXELS",
    "max_aspect": "IMGVEC_MAX_ASPECT",
    "max_bytes": "IMGVEC_MAX_BYTES",
}
Command = TypeVar("Command", bound=Callable[..., Any])


def dsn_option(command: Command) -> Command:
    """Add --dsn; the value is "" when libpq's own variables are to be used."""
    return click.option(
        "--dsn",
        default=dsn_from_environment,
        metavar="DSN",
        help="Database to use: postgresql://user@host/db  [default: IMGVEC_DSN or the PG* variables]",
    )(command)


def json_option(command: Command) -> Command:
    """Add --json as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def log_options(command: Command) -> Command:
    """Add --log-format and --log-level, and obey them before the command runs."""

    @functools.wraps(command)
    def with_logs(*arguments: Any, log_format: str, log_level: str | None, **options: Any) -> Any:  # noqa: ANN401
        set_up_logs(log_format, log_level)
        return command(*arguments, **options)

    wrapped = click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        envvar="IMGVEC_LOG_LEVEL",
        help="Minimum level of log lines  [default: IMGVEC_LOG_LEVEL, else warning as text and info as JSON]",
    )(with_logs)
    return click.option(  # type: ignore[return-value]
        "--log-format",
        type=click.Choice(FORMATS),
        default="text",
        envvar="IMGVEC_LOG_FORMAT",
        help="Format of stderr: text, or one JSON object a line  [default: IMGVEC_LOG_FORMAT, else text]",
    )(wrapped)


def limit_options(command: Command) -> Command:
    """Add --max-pixels, --max-aspect and --max-bytes, and have decoding obey them while the command runs."""

    @functools.wraps(command)
    def with_limits(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        # Decoding children, and processes of --workers, read them from the environment.
        given = {name: options.pop(option) for option, name in LIMITS.items()}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update({name: str(value) for name, value in given.items() if value is not None})
        try:
            return command(*arguments, **options)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ.update({} if value is None else {name: value})

    options = (
        click.option(
            "--max-pixels",
            type=click.IntRange(1, MOST_PIXELS),
            metavar="N",
            help=f"Pixels of a picture, read from its header  [default: IMGVEC_MAX_PIXELS, else {MAX_PIXELS}]",
        ),
        click.option(
            "--max-aspect",
            type=click.IntRange(1, MOST_ASPECT),
            metavar="N",
            help=f"One side in terms of the other  [default: IMGVEC_MAX_ASPECT, else {MAX_ASPECT}]",
        ),
        click.option(
            "--max-bytes",
            type=click.IntRange(1, MOST_BYTES),
            metavar="N",
            help=f"Bytes of a picture as stored  [default: IMGVEC_MAX_BYTES, else {MAX_IMAGE_BYTES}]",
        ),
    )
    wrapped: Any = with_limits
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


def only_with_port(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse an address for metrics that are not served."""
    given = context.get_parameter_source(str(parameter.name)) != click.core.ParameterSource.DEFAULT
    if given and context.params.get("metrics_port") is None:
        raise click.UsageError("--metrics-host says where --metrics-port listens; add --metrics-port PORT")
    return value


def metrics_options(command: Command) -> Command:
    """Add --metrics-port and --metrics-host."""
    options = (
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65535),
            is_eager=True,
            metavar="PORT",
            help="Serve Prometheus metrics there, on loopback only; 0 chooses a free port.",
        ),
        click.option(
            "--metrics-host",
            callback=only_with_port,
            default="127.0.0.1",
            show_default=True,
            metavar="ADDRESS",
            help="Where --metrics-port listens. Whoever reaches another address reads them: they ask for no password.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def codes_option(command: Command) -> Command:
    """Add --code, which may be repeated, as `codes`."""
    return click.option(
        "--code",
        "codes",
        multiple=True,
        metavar="CODE",
        help="Only failures with this code, such as not_found; may be repeated.",
    )(command)


def lock_timeout_option(command: Command) -> Command:
    """Add --lock-timeout in milliseconds."""
    return click.option(
        "--lock-timeout",
        "lock_timeout_ms",
        type=click.IntRange(min=1),
        default=2000,
        show_default=True,
        metavar="MS",
        help="Give up rather than wait longer than this for a lock on the source table.",
    )(command)


def model_options(command: Command) -> Command:
    """Add --weights, --device and --precision."""
    options = (
        click.option(
            "--weights",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Safetensors file to use instead of the published weights.",
        ),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.", metavar="DEVICE"
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
            default="auto",
            show_default=True,
            help="auto: half precision where the device has instructions for it, else fp32. int8: never automatic; on CPUs, "
            "with the extra onnx.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def runtime_option(command: Command) -> Command:
    """Add --runtime: what computes pictures on a CPU."""
    return click.option(
        "--runtime",
        type=click.Choice(["auto", "torch", "onnx", "openvino"]),
        default="auto",
        show_default=True,
        envvar="IMGVEC_RUNTIME",
        show_envvar=True,
        help="What computes pictures on a CPU; auto: ONNX Runtime or OpenVINO where the extra onnx or openvino is installed, its "
        "numbers are torch's and it is the fastest here.",
    )(command)


def force_int8_option(command: Command) -> Command:
    """Add --force-int8."""
    return click.option(
        "--force-int8",
        is_flag=True,
        help="With --precision int8: use it although the network loses too much by it (cosine to fp32 below 0.99).",
    )(command)


PROBED = 0
"""What --batch-size auto is held as."""


class BatchSizeType(click.IntRange):
    """1 to 4096; "auto", held as PROBED, for what probing finds."""

    name = "batch size"

    def __init__(self) -> None:
        super().__init__(1, 4096)

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Return the number."""
        return PROBED if value in ("auto", PROBED) else super().convert(cast(int, value), parameter, context)


def pipeline_options(command: Command) -> Command:
    """Add --batch-size, --decode-threads and --root: how one process fetches, decodes and embeds."""
    options = (
        click.option(
            "--batch-size",
            type=BatchSizeType(),
            default=64,
            show_default=True,
            metavar="N",
            help="Images embedded together, 1 to 4096; auto benchmarks this device at the start.",
        ),
        click.option(
            "--decode-threads",
            type=click.IntRange(1, 128),
            default=4,
            show_default=True,
            help="Threads that fetch and decode images, per process.",
        ),
        click.option(
            "--root",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where this machine keeps the collection's pictures.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def echo_json(value: object) -> None:
    """Print a value as JSON, dates and paths as text."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))
