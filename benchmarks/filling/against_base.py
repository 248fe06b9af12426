"""Rows 3 and 4: what computes a model's pictures, beside today's build."""

from collections.abc import Iterator

import runtimes

from filling.result import Result
from filling.setting import Setting

EXACT = 0.99999
HALF = 0.999
LARGE = "ViT-L-14/laion2b_s32b_b82k"
VIT = "ViT-B-32/laion2b_s34b_b79k"
CONVOLUTIONAL = {name: target for name, target in runtimes.MODELS.items() if name != VIT}
TURNS, SECONDS = 2, 2.0


def convolutional(setting: Setting) -> Iterator[Result]:
    """Row 3: prepared pictures in fp32, by whatever a worker would choose."""
    for name, target in CONVOLUTIONAL.items():
        yield from _measured(setting, 3, name, "fp32", target, EXACT, batch=16)


def transformers(setting: Setting, *, has_large: bool) -> Iterator[Result]:
    """Row 4: at equal precision, and int8 beside today's automatic precision."""
    for name, batch in ((VIT, 16), (LARGE, 2)) if has_large else ((VIT, 16),):
        for precision, target, cosine in (("fp32", 1.15, EXACT), ("int8", 1.7, HALF)):
            yield from _measured(setting, 4, name, precision, target, cosine, batch=batch)


def _measured(
    setting: Setting, row: int, name: str, precision: str, target: float, least: float, *, batch: int
) -> Iterator[Result]:
    asked = "automatic precision" if precision == "int8" else precision
    what = f"{name}, {precision}, batches of {batch}, beside today's build at {asked}"
    if setting.base is None:
        yield Result.missing(row, what, "no checkout of today's build: --base")
        return
    setting.weights(name)
    turns = 1 if name == LARGE else TURNS
    _, found = runtimes.measure(
        setting.base, name, precision, turns, SECONDS, setting.folder, batch, setting.folder / "cache"
    )
    figure = {kind: found[f"{name} {precision}: {kind}"] for kind in ("ratio", "of CPU", "cosine", "rate")}
    yield Result(
        row,
        f"{what} (cosine {figure['cosine']:.6f})",
        f"{figure['rate']:.1f}/s, {figure['rate'] / figure['ratio']:.1f}/s",
        figure["ratio"],
        figure["of CPU"],
        target,
        is_right=figure["cosine"] >= least,
    )
