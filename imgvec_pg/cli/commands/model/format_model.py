"""Text output of `imgvec model`."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.matryoshka import trained_dimensions
from imgvec_pg.embedding.weights import where_weights_are


def print_catalogue(models: Sequence[ModelDescription]) -> None:
    """Print a line for each model."""
    click.echo(
        f"{'model':<39}{'dims':>6}{'px':>5}  {'words':<6}{'GFLOP':>7}{'GB':>6}  {'licence':<13}best for"
    )
    for model in models:
        facts, pixels = model.facts, model.image_size[0] if model.image_size else 0
        if facts is None:
            continue
        click.echo(
            f"{model.name:<39}{model.dimensions:>6,}{pixels:>5}  {'yes' if model.has_text else '-':<6}"
            f"{facts.gflops:>7,.0f}{facts.memory_gb('fp32'):>6.1f}  {facts.licence.split(':')[0]:<13}{facts.best_for}"
        )
    click.echo(
        "px: side of the square it sees; GFLOP: of one image; GB: the weights in fp32, half of it in bf16 or fp16"
    )
    click.echo(
        "more of one: imgvec model show NAME; others: architecture/tag of OpenCLIP, timm/architecture.tag, hf-hub:org/name, "
        "transformers:org/name"
    )


def print_model(model: ModelDescription) -> None:
    """Print what is known of one model."""
    lines = {"model": model.name, "library": model.library, "dimensions": f"{model.dimensions:,}"}
    if model.whole_dimensions is not None:
        lines["dimensions"] += f", the first of {model.whole_dimensions:,}"
    if cuts := [f"{each:,}" for each in trained_dimensions(model.name, model.matryoshka)[0]]:
        lines["cut to"] = f"{', '.join(cuts)} dimensions, as it was trained: --dimensions N"
    if model.image_size is not None:
        lines["image"] = f"{model.image_size[0]} x {model.image_size[1]} pixels"
    if model.preprocessing is not None:
        p = model.preprocessing
        how = {"shortest": "shortest side, then the middle", "squash": "squashed to the square"}
        lines["resize"] = f"{how.get(p.resize_mode, p.resize_mode)}, {p.interpolation}"
        if model.crop_share != 1.0:
            lines["resize"] += f", the middle {model.crop_share:.1%}"
        lines["mean, std"] = f"{_numbers(p.mean)}, {_numbers(p.std)}"
    if model.processor:
        lines["pictures"] = f"prepared by {model.processor} of transformers"
    if model.pooling:
        lines["vector"] = model.pooling
    lines["words"] = (
        f"yes, {model.scoring or 'scores'} of scaled similarities" if model.has_text else "no text tower"
    )
    if model.has_text:
        lines["logit scale"] = "the weights' own" + (", with a bias" if model.scoring == "sigmoid" else "")
    if model.facts is not None:
        f = model.facts
        lines |= {
            "best for": f.best_for,
            "licence": f.licence,
            "work": f"{f.gflops:,.1f} GFLOP an image",
            "parameters": f"{f.parameters:,.1f} million, {f.image_parameters:,.1f} of them for images",
            "memory": f"{f.memory_gb('fp32'):.1f} GB in fp32, {f.memory_gb('bf16'):.1f} GB in {model.half}; a batch on top",
            "expected": f"about {f.images_per_second(200, 0.7):,.1f} images/s on a CPU of 200 GFLOP/s, "
            f"{f.images_per_second(900_000, 0.4):,.0f} on a GPU of 900 TFLOP/s, where 70 % and 40 % of that are reached; "
            "measure: imgvec model benchmark",
        }
    elif model.licence or model.hub_repository:
        lines["licence"] = model.licence or "its card names none: ask its authors"
    if model.revision:
        lines["commit"] = model.revision
    lines["weights"] = where_weights_are(model)
    for title, text in lines.items():
        click.echo(f"{title:<13}{text}")


ENGINES = {"onnx": " by ONNX Runtime", "openvino": " by OpenVINO"}


def _numbers(values: Sequence[float]) -> str:
    return "(" + " ".join(f"{value:.4g}" for value in values) + ")"


def print_verified(verified: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each model on record."""
    for line in verified:
        state = {True: "same", False: "DIFFERS", None: "unknown"}[line["ok"]]
        cosines = [
            f"{kind} {line[key]:.6f}"
            for kind, key in (("pictures", "image_cosine"), ("texts", "text_cosine"))
            if line[key] is not None
        ]
        by = ENGINES.get(line.get("runtime") or "", "")
        facts = [f"cosine of {', '.join(cosines)} in {line['precision']}{by}"] if cosines else []
        facts += [line["problem"]] if "problem" in line else []
        facts += [f"computed by torch, not by ONNX Runtime: {line['no_onnx']}"] if "no_onnx" in line else []
        click.echo(f"{line['model']}: {state}; {'; '.join(facts)}")


def print_benchmark(result: Mapping[str, Any]) -> None:
    """Print one measurement."""
    click.echo(
        f"{result['model']} on {result['device']} in {result['precision']}{', compiled' if result['compiled'] else ''}"
    )
    for size, rate in result["tried"]:
        click.echo(f"  batch of {size:<5}{rate:>10,.1f} images/s")
    click.echo(f"{result['images_per_second']:,.1f} images/s in batches of {result['batch_size']}")
    click.echo(
        f"{result['share_of_forward']:.0%} of the bare network's {result['forward_images_per_second']:,.1f} images/s"
    )
    click.echo(
        f"{result['gflops_per_second']:,.0f} GFLOP/s at {result['gflops_per_image']:,.1f} GFLOP an image: "
        f"{result['share_of_peak']:.0%} of this device's {result['peak_gflops_per_second']:,.0f} in matrices"
    )
    onnx = result.get("onnx")
    if onnx is None:
        return
    for way in onnx["ways"]:
        told = f"cosine to torch in fp32 at least {way['cosine']:.7f}" if way["cosine"] else ""
        rate = f"{way['images_per_second']:>10,.1f} images/s" if way["images_per_second"] else f"{'-':>10}"
        facts = "; ".join(filter(None, (told, way["problem"])))
        click.echo(f"  {way['runtime']:<9}{way['precision']:<5}{rate}  {facts}")
    if not onnx["used"]:
        click.echo(f"a worker does not compute pictures in {onnx['used_precision']}: {onnx['reason']}")
        return
    why = f": {onnx['reason']}" if onnx["reason"] else ""
    click.echo(f"a worker computes pictures by {onnx['used']} in {onnx['used_precision']}{why}")
    if onnx["onnx_below"]:
        click.echo(f"a backfill of fewer than {onnx['onnx_below']:,} by onnx in fp32, which starts sooner")
    if onnx["openvino_below"]:
        precision = onnx["openvino_precision"]
        click.echo(
            f"a backfill of fewer than {onnx['openvino_below']:,} by openvino in {precision}, which starts sooner"
        )
