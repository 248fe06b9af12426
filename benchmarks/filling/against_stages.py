"""Rows 5 and 6: the rows of a fill beyond its first ones, beside its own stages alone, and of two processes beside one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filling.against_loop import VIT, started
from filling.result import Result
from filling.setting import Setting, Took, write_pictures

LITE = "timm/tf_efficientnet_lite0.in1k"
LEAST = 100
"""Pictures: of fewer a start's chance outweighs what they take."""
ALONE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.images.decoding.sandbox import decode_for
from imgvec_pg.images.rendering.version import NEWEST
def used():
    # Of threads and children that are there: what has ended before is not of the pictures.
    own = [path / "schedstat" for path in Path("/proc/self/task").iterdir()]
    children = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    files = own + [Path(f"/proc/{pid}/schedstat") for pid in children]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9
def prepared_from(path):
    return embedder.prepare_image(decode_for(embedder, path.read_bytes(), NEWEST))
name, weights, folder = sys.argv[1], sys.argv[2] or None, Path(sys.argv[3])
options = PipelineOptions()
embedder = load_embedder(name, weights=weights, device="cpu", precision="fp32", may_export=True)
paths = sorted(folder.iterdir())[:int(sys.argv[4])]
with ThreadPoolExecutor(options.decode_threads) as pool:
    list(pool.map(prepared_from, paths[:16]))
    began = used()
    prepared = list(pool.map(prepared_from, paths))
    decoding = (used() - began) / len(paths)
batch = (prepared * options.batch_size)[:options.batch_size]
embedder.embed_prepared(batch)
began, turns = used(), max(len(paths) // len(batch), 2)
for _ in range(turns):
    embedder.embed_prepared(batch)
print(json.dumps({"decoding": decoding, "model": (used() - began) / turns / len(batch)}))
"""


@dataclass(frozen=True)
class PerRow:
    """What a row of a fill takes beyond what every command has.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of all processes, the server's included.
        first: The command of the first rows, with start and end.
    """

    seconds: float
    cpu_seconds: float
    first: Took


def per_row(
    setting: Setting,
    model: str,
    folder: Path,
    names: list[str],
    *options: object,
    job_rows: int | None = None,
) -> PerRow:
    """Fill a new database by two commands, of a fifth of the rows and of the others: their start cancels out."""
    _, command, dsn = started(setting, model, folder, names, "fp32", job_rows=job_rows)
    given = (*command, "--no-index", *options)
    first = setting.imgvec(dsn, *given, "--limit", len(names) // 5)
    others = setting.imgvec(dsn, *given)
    rows = others.json()["embedded"] - first.json()["embedded"]
    spent = [each.cpu_seconds + each.server_seconds for each in (first, others)]
    return PerRow((others.seconds - first.seconds) / rows, (spent[1] - spent[0]) / rows, first)


def own_stages(setting: Setting) -> Iterator[Result]:
    """Row 5: processor time of model and decoder alone, in as many threads and batches, as a share of that of a fill's rows."""
    for model, size, whole in (
        ("demo", (320, 240), 6000),
        ("demo", (4000, 3000), 300),
        (VIT, (320, 240), 500),
        (LITE, (320, 240), 2000),
    ):
        count = setting.count(whole, LEAST)
        folder = setting.folder / f"pictures-{size[0]}-{count}"
        names = write_pictures(folder, count, *size)
        row = per_row(setting, model, folder, names)
        weights = "" if model == "demo" else setting.weights(model)
        alone = setting.run(["-c", ALONE, model, weights, folder, count]).json()
        yield Result(
            5,
            f"{model}, {count:,} pictures of {size[0]} x {size[1]}: model and decoder in the whole's processor time",
            f"{1e3 * alone['model']:.2f} + {1e3 * alone['decoding']:.2f} of {1e3 * row.cpu_seconds:.2f} ms",
            None,
            (alone["model"] + alone["decoding"]) / row.cpu_seconds,
            0.92,
        )


def two_processes(setting: Setting) -> Iterator[Result]:
    """Row 6: rows a second of two processes beside one, where decoding is most of it (a thread each) and where the model is."""
    # Of jobs of 64 rows there would be too few to be divided.
    small, job_rows = ("--batch-size", 16), 8
    cases = (
        ("demo", (4000, 3000), 600, ("--decode-threads", 1, *small), 1.8),
        (VIT, (320, 240), 800, small, 0.97),
    )
    for model, size, whole, options, target in cases:
        count = setting.count(whole, 2 * LEAST)
        folder = setting.folder / f"pictures-{size[0]}-{count}"
        names = write_pictures(folder, count, *size)
        one = per_row(setting, model, folder, names, *options, job_rows=job_rows)
        two = per_row(setting, model, folder, names, "--workers", 2, *options, job_rows=job_rows)
        yield Result(
            6,
            f"{model}, {count:,} pictures of {size[0]} x {size[1]}: two processes beside one {' '.join(map(str, options))}",
            f"{1 / two.seconds:.1f}/s, {1 / one.seconds:.1f}/s",
            one.seconds / two.seconds,
            one.cpu_seconds / two.cpu_seconds,
            target,
        )
