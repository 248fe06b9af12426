"""`imgvec model`: list, show, fetch, verify and benchmark models."""

import dataclasses
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from imgvec_pg.cli.commands.model.format_model import (
    print_benchmark,
    print_catalogue,
    print_model,
    print_verified,
)
from imgvec_pg.cli.options import dsn_option, echo_json, json_option, model_options
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.embedding.benchmark import benchmark_model
from imgvec_pg.embedding.catalog import CATALOGUE, describe_model
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import compute_golden
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.embedding.matryoshka import whole_model
from imgvec_pg.embedding.onnx_models.choose import reason_against_onnx
from imgvec_pg.embedding.onnx_models.compare_runtimes import compare_runtimes
from imgvec_pg.errors import ImgvecError, ModelError, UsageError
from imgvec_pg.store.model_registry import RecordedModel, compare_golden, find_models
from imgvec_pg.text import size


@click.group()
def model() -> None:
    """List models, fetch their weights, check and time them.

    \b
    Example:
      imgvec model list
      imgvec model fetch ViT-B-32/laion2b_s34b_b79k --to /srv/models
    """


@model.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List models that are known to be good; any other of OpenCLIP or timm works too.

    \b
    Example:
      imgvec model list
    """
    if as_json:
        echo_json([dataclasses.asdict(each) for each in CATALOGUE.values()])
        return
    print_catalogue(list(CATALOGUE.values()))


@model.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is known of one model, and whether its weights are on this machine.

    \b
    Example:
      imgvec model show ViT-SO400M-14-SigLIP-384/webli
    """
    described = describe_model(name)
    if as_json:
        echo_json(dataclasses.asdict(described))
        return
    print_model(described)


@model.command()
@click.argument("name")
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to put it into; IMGVEC_MODEL_DIR names it where it is used.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take this safetensors file instead of the hub's.",
)
@click.option("--sha256", metavar="HEX", help="What the weights must have, as their publisher says.")
@json_option
def fetch(name: str, to: Path, weights: Path | None, sha256: str | None, as_json: bool) -> None:
    """Fetch a model's weights into a folder that can be carried to a machine without network.

    With the weights come their configuration, their tokenizer and SHA256SUMS, by which each load checks them.

    \b
    Example:
      imgvec model fetch ViT-B-32/laion2b_s34b_b79k --to /srv/models
      IMGVEC_MODEL_DIR=/srv/models imgvec backfill product_clip
    """
    from imgvec_pg.embedding.download import fetch_model

    fetched = fetch_model(describe_model(name), to.expanduser(), weights, sha256)
    if as_json:
        echo_json(dataclasses.asdict(fetched))
        return
    click.echo(f"{fetched.folder}: {size(fetched.size)}, weights SHA-256 {fetched.weights_sha256}")
    click.echo(f"use it with: export IMGVEC_MODEL_DIR={to.expanduser().absolute()}")


@model.command()
@click.argument("name", required=False)
@dsn_option
@model_options
@json_option
@click.pass_context
def verify(
    context: click.Context,
    name: str | None,
    dsn: str,
    weights: Path | None,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Check that the models of a database compute here what they computed at their first use.

    Weights, preprocessing and tokenizer are compared by fingerprint, the numbers by golden vectors: fixed pictures and
    texts that the first worker embedded. Exit code 1 says that one differs, or cannot be loaded here.

    \b
    Example:
      imgvec model verify
      imgvec model verify ViT-B-32/laion2b_s34b_b79k --device cuda --precision fp16
    """
    with connect(dsn, application_name="imgvec model") as connection:
        require_schema(connection)
        found = find_models(connection, None if name is None else describe_name(name))
        if not found:
            raise ModelError(
                "no model is on record yet: a collection's first worker records its own"
                if name is None
                else f"model {name} is not on record in this database; see: imgvec model verify"
            )
        if weights is not None and len(found) > 1:
            raise UsageError("--weights is for one model: name it")
        load = partial(load_embedder, weights=weights, device=device, precision=precision)
        explain = partial(explain_torch, weights=weights, device=device, precision=precision)
        verified = [verify_model(connection, each, load, explain) for each in found]
    if as_json:
        echo_json(verified)
    else:
        print_verified(verified)
    if any(line["ok"] is False for line in verified):
        context.exit(1)


def explain_torch(name: str, *, weights: Path | None, device: str, precision: str) -> str:
    """Return why a model that ONNX Runtime might compute here is torch's, "" where nothing is on record of that."""
    try:
        return reason_against_onnx(whole_model(describe_model(name)), weights, device, precision)
    except ImgvecError:
        return ""


def verify_model(
    connection: Connection,
    recorded: RecordedModel,
    load: Callable[[str], Embedder],
    explain: Callable[[str], str] = lambda name: "",
) -> dict[str, object]:
    """Compare one model on record with what this machine computes.

    Args:
        load: Loads it by its name.
        explain: Says why torch computes it.

    Returns:
        What --json prints of it: `ok` is None where nothing is on record to compare with, and a `problem` says why
        it is not true.
    """
    line: dict[str, object] = {"model": recorded.name, "ok": None, "image_cosine": None, "text_cosine": None}
    if recorded.fingerprint is None or not recorded.golden_count:
        return line | {"problem": "not used yet: nothing on record to compare with"}
    try:
        embedder = load(recorded.name)
    except ImgvecError as error:
        return line | {"ok": False, "problem": str(error)}
    line["precision"] = embedder.precision
    line["runtime"] = getattr(embedder, "runtime", None)
    if line["runtime"] is None and (reason := explain(recorded.name)):
        line["no_onnx"] = reason
    if embedder.fingerprint != recorded.fingerprint:
        return line | {"ok": False, "problem": other_weights(embedder, recorded.weights_sha256)}
    try:
        golden = compute_golden(embedder)
    except ModelError as error:
        return line | {"ok": False, "problem": str(error)}
    compared = compare_golden(connection, recorded.id, golden, embedder.precision, store=False)
    shortfall = compared.shortfall(embedder)
    line |= {
        "ok": not shortfall,
        "image_cosine": compared.images,
        "text_cosine": compared.texts,
    }
    if shortfall:
        line["problem"] = f"computes other vectors here: {shortfall}"
    return line


def describe_name(name: str) -> str:
    """Return a model's canonical name; a name that is none here may still be on record."""
    try:
        return describe_model(name).name
    except ImgvecError:
        return name


def other_weights(embedder: object, recorded: str | None) -> str:
    """Say in what a model here differs from the one on record."""
    here = getattr(embedder, "weights_sha256", None)
    if here is not None and recorded is not None and here != recorded:
        return f"other weights: SHA-256 {here[:12]}… here, {recorded[:12]}… on record"
    return "same weights, another preprocessing, tokenizer or architecture than on record"


@model.command()
@click.argument("name")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Images at once  [default: found by trying]")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="For each measurement."
)
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile rewrite the network first.")
@click.option(
    "--random-weights", is_flag=True, help="Where the weights are not at hand: the speed is the same."
)
@model_options
@json_option
def benchmark(
    name: str,
    batch_size: int | None,
    seconds: float,
    compiled: bool,
    random_weights: bool,
    weights: Path | None,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Measure images/s of a model on this machine, and which share of its matrix peak that is.

    From prepared pictures to vectors; fetching and decoding come on top, in threads beside. On a CPU with the extra onnx, or
    openvino, all runtimes and precisions are compared, and the last line says what a worker would use.

    \b
    Example:
      imgvec model benchmark ViT-B-32/laion2b_s34b_b79k --random-weights
      imgvec model benchmark demo --batch-size 64 --json
    """
    described = whole_model(describe_model(name))  # cut to fewer dimensions it is as fast
    with tempfile.TemporaryDirectory(prefix="imgvec-weights-") as folder:
        if random_weights:
            if weights is not None:
                raise UsageError("give --weights or --random-weights, not both")
            check_loadable(described.name)
            from imgvec_pg.embedding.torch_models.random_weights import write_random_weights

            weights = Path(folder) / "random.safetensors"
            write_random_weights(described, weights)
        by_torch = "auto" if precision == "int8" else precision  # which is ONNX Runtime's alone
        embedder = load_embedder(
            described.name, weights=weights, device=device, precision=by_torch, runtime="torch"
        )
        result = benchmark_model(embedder, batch_size=batch_size, seconds=seconds, compiled=compiled)
        if not compiled:
            result["onnx"] = compare_runtimes(described, weights, device, precision, keep=not random_weights)
    if as_json:
        echo_json(result)
    else:
        print_benchmark(result)
