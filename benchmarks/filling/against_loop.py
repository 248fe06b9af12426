"""Rows 1 and 9: whole commands, beside the usual loop and beside today's build."""

import json
from collections.abc import Iterator
from pathlib import Path

from filling.result import Result
from filling.setting import HERE, Setting, Took, add_rows, make_table, write_pictures

VIT = "ViT-B-32/laion2b_s34b_b79k"
PICTURES = 1000
"""Whatever --share says: the start is part of what is compared, and of fewer pictures most of it."""
LOOP = """
import json, sys, time
from pathlib import Path
import faiss, numpy as np, torch
from PIL import Image
from imgvec_pg.embedding.runtime import import_open_clip
import_open_clip()  # mends torchvision where it is not that of a CPU's torch
import open_clip
folder, weights = Path(sys.argv[1]), sys.argv[2]
network, _, prepare = open_clip.create_model_and_transforms(
    "ViT-B-32", pretrained=weights, image_mean=open_clip.OPENAI_DATASET_MEAN, image_std=open_clip.OPENAI_DATASET_STD)
network.eval()
index, found = faiss.IndexFlatIP(512), []
with torch.no_grad():
    for path in sorted(folder.iterdir()):
        vector = network.encode_image(prepare(Image.open(path)).unsqueeze(0))[0]
        vector = (vector / vector.norm()).numpy()
        index.add(vector[None])
        found.append(vector)
np.save(sys.argv[3], np.stack(found))
print(json.dumps({"pictures": index.ntotal}))
"""


def started(
    setting: Setting,
    model: str,
    folder: Path,
    names: list[str],
    precision: str,
    *options: object,
    build: Path = HERE,
    job_rows: int | None = None,
) -> tuple[Took, tuple[object, ...], str]:
    """Fill one row of a new database; return what that took, the command that fills the others, and the database.

    Args:
        job_rows: Rows of a job in the queue, which one process does alone; None for 64, as where the rows were there before.
    """
    dsn = setting.database("fill", build)
    make_table(dsn)
    if job_rows is None:
        add_rows(dsn, names)
    given = ("--source", "public.item", "--image", "picture", "--root", folder, "--model", model)
    setting.imgvec(dsn, "collection", "create", "item_fill", *given, build=build)
    for first in range(0, len(names), job_rows) if job_rows else ():
        add_rows(dsn, names[first : first + job_rows], first)
    weights = () if model == "demo" else ("--weights", setting.weights(model))
    command = ("backfill", "item_fill", "--json", "--precision", precision, *weights, *options)
    exports = setting.exports()
    start = setting.imgvec(dsn, *command, "--limit", 1, "--no-index", build=build)
    if setting.exports() != exports:
        # Exporting happens once on a machine; whichever command comes first may have done it.
        start = setting.imgvec(dsn, *command, "--limit", 1, "--no-index", build=build)
    return start, command, dsn


def filled(
    setting: Setting, model: str, folder: Path, names: list[str], precision: str, *options: object
) -> tuple[Took, Took, str]:
    """Fill a new database and return what one row took (the start), what all others took, and the database."""
    start, command, dsn = started(setting, model, folder, names, precision, *options)
    return start, setting.imgvec(dsn, *command), dsn


def usual_loop(setting: Setting) -> Iterator[Result]:
    """Row 1: images/s of whole processes, ours with commits and the index."""
    count = PICTURES
    folder = setting.folder / "pictures-1600"
    names = write_pictures(folder, count, 1600, 1200)
    weights = setting.weights(VIT)
    vectors = setting.folder / "loop.npy"
    loop = setting.run(["-c", LOOP, folder, weights, vectors])
    for precision, target in (("fp32", 1.5), ("auto", 3.5)):
        _, ours, dsn = filled(setting, VIT, folder, names, precision)
        yield compared(1, "the usual loop", count, precision, target, loop, ours, lowest_cosine(dsn, vectors))


def compared(
    row: int, what: str, count: int, precision: str, target: float, theirs: Took, ours: Took, cosine: float
) -> Result:
    """Return the line of one precision; `theirs` embedded `count` pictures, `ours` all rows but the one of its start."""
    rows = ours.json()["embedded"]
    return Result(
        row,
        f"{count:,} JPEGs of 1600 x 1200, {precision}, beside {what} (least cosine {cosine:.4f})",
        f"{rows / ours.seconds:.1f}/s, {count / theirs.seconds:.1f}/s",
        theirs.seconds / count / (ours.seconds / rows),
        theirs.cpu_seconds / count / ((ours.cpu_seconds + ours.server_seconds) / rows),
        target,
        is_right=cosine >= 0.999,
    )


def lowest_cosine(dsn: str, vectors: Path) -> float:
    """Compare what was written with the loop's vectors; return the least cosine."""
    import numpy as np
    import psycopg

    theirs = np.load(vectors)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT id, embedding::text FROM imgvec.item_fill_embedding").fetchall()
    if len(rows) != len(theirs):
        return 0.0
    ours = np.array([json.loads(text) for _, text in sorted(rows)])
    return float((ours * theirs).sum(axis=1).min() / np.linalg.norm(ours, axis=1).max())


def start(setting: Setting) -> Iterator[Result]:
    """Row 9: a fill of one row, whole process, beside today's build."""
    folder = setting.folder / "pictures-320-10"
    names = write_pictures(folder, 10, 320, 240)
    if setting.base is None:
        yield Result.missing(9, "start to the first row", "no checkout of today's build: --base")
        return
    for precision in ("fp32", "auto"):
        ours, _, _ = started(setting, VIT, folder, names, precision)
        theirs, _, _ = started(setting, VIT, folder, names, precision, build=setting.base)
        yield Result(
            9,
            f"start to the first row, ViT-B-32 in {precision}, part of today's",
            f"{ours.seconds:.1f} s, {theirs.seconds:.1f} s",
            ours.seconds / theirs.seconds,
            ours.cpu_seconds / theirs.cpu_seconds,
            0.5,
            less_is_better=True,
        )
        peak = ours.peak_bytes / theirs.peak_bytes
        yield Result(
            9,
            f"most resident memory, ViT-B-32 in {precision}, part of today's",
            f"{ours.peak_bytes >> 20} MB, {theirs.peak_bytes >> 20} MB",
            peak,
            None,
            0.6,
            less_is_better=True,
        )
