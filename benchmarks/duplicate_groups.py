"""Near-duplicates of altered pictures: our groups and pairs, immich's way, imagededup's CNN and hashes.

Run: python -m benchmarks.duplicate_groups [--originals N] [--only photographs|drawings] [--all]. Without imagededup (PyPI) its
lines are left out.
Originals: the demo's drawings, embedded by the demo's model, and the photographs that scikit-image ships, by EfficientNet
Lite0 (extra lite); the other drawings of the demo stand beside as they are. Each original is altered in 20 ways; two pictures
of one original are a pair, two of different originals are none.

"links", "share", "complete": our groups by these linkages, and "pairs": our pairs. "immich": its way as its server has it,
written anew here: each picture in turn asks for its 64 nearest within the distance, and all groups that these are in become
one. "CNN": imagededup's, given the same vectors (its own MobileNetV3 has its weights from a host; CustomModel is its way to take
another network), and its hashes: pairs within a Hamming distance. It makes no groups, so these are connected components.

For each way the default threshold and, of a grid, the one with the best F1 (--all: each of the grid). Columns: precision,
recall and F1 of pairs: those within groups, of ways that group, and of others those told; "broken": originals whose pictures
lie in two or more groups; "chained": groups with pictures of two or more originals, and in brackets the originals in the
largest of them; "strangers": pictures in groups of which another original has more. The table printed is kept in
benchmarks/results/duplicate_groups.txt.
"""

import argparse
import io
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from imgvec_pg.demo.pictures import unpack_pictures
from imgvec_pg.duplicates.groups import link
from imgvec_pg.duplicates.pairs import find_pairs
from imgvec_pg.duplicates.thresholds import default_threshold
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.runtime import import_open_clip

Picture = Image.Image
Pairs = set[tuple[int, int]]
Groups = list[list[int]]
PHOTOGRAPHS = (
    "astronaut brick camera cell chelsea clock_motion coffee coins grass gravel hubble_deep_field ihc moon"
)
PHOTOGRAPHS += " motorcycle_left page retina rocket text"
MODELS = {"photographs": "timm/tf_efficientnet_lite0.in1k", "drawings": "demo"}
IMMICH_DEFAULT = 0.99
"""immich 2.x: machineLearning.duplicateDetection.maxDistance 0.01, for its default CLIP ViT-B/32."""
CNN_DEFAULT = 0.9
"""imagededup 0.3: find_duplicates(min_similarity_threshold=0.9)."""
SIMILARITIES = (
    0.5,
    0.55,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.925,
    0.95,
    0.965,
    0.975,
    0.985,
    0.99,
    0.995,
)
LOWEST = {"photographs": 0.5, "drawings": 0.925}
"""Of the grid: below, nearly all pairs of drawings are near."""
HASH_DISTANCES = (0, 2, 4, 6, 8, 10, 12, 16)
NEAREST = 64


def saved(picture: Picture, form: str, **options: int) -> Picture:
    """Return what a file of the picture shows."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return Image.open(file).convert("RGB")


def cropped(picture: Picture, share: float) -> Picture:
    """Take a share of width and height away, a third of it left and above."""
    width, height = picture.size
    left, top = int(width * share / 3), int(height * share / 3)
    return picture.crop((left, top, left + int(width * (1 - share)), top + int(height * (1 - share))))


def noisy(picture: Picture) -> Picture:
    """Add noise of 12 levels."""
    noise = np.random.default_rng(1).normal(scale=12, size=(picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def marked(picture: Picture) -> Picture:
    """Write a word across."""
    copy = picture.copy()
    place = (copy.width // 20, copy.height * 4 // 5)
    ImageDraw.Draw(copy).text(place, "SAMPLE", fill=(250, 250, 250), font_size=max(8, copy.height // 8))
    return copy


def scaled(picture: Picture, width: float, height: float) -> Picture:
    """Resize by these shares."""
    return picture.resize((max(1, int(picture.width * width)), max(1, int(picture.height * height))))


ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "jpeg 75": lambda p: saved(p, "JPEG", quality=75),
    "jpeg 30": lambda p: saved(p, "JPEG", quality=30),
    "jpeg 10": lambda p: saved(p, "JPEG", quality=10),
    "webp 40": lambda p: saved(p, "WEBP", quality=40),
    "gif": lambda p: saved(p, "GIF"),
    "half": lambda p: scaled(p, 0.5, 0.5),
    "third": lambda p: scaled(p, 0.34, 0.34),
    "double": lambda p: scaled(p, 2, 2),
    "wide": lambda p: scaled(p, 1, 0.8),
    "crop 5 %": lambda p: cropped(p, 0.05),
    "crop 15 %": lambda p: cropped(p, 0.15),
    "frame": lambda p: ImageOps.expand(p, border=max(2, p.width // 25), fill=(255, 255, 255)),
    "mirror": ImageOps.mirror,
    "turn 3 degrees": lambda p: p.rotate(3, resample=Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)),
    "grey": lambda p: ImageOps.grayscale(p).convert("RGB"),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.25),
    "more contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.4),
    "blur": lambda p: p.filter(ImageFilter.GaussianBlur(max(1, p.width / 150))),
    "noise": noisy,
    "word across": marked,
}


def drawings(originals: int, folder: Path) -> tuple[list[Picture], list[int]]:
    """Return the demo's pictures, some altered, and which original each is of."""
    pictures, of = [], []
    files = unpack_pictures(folder)
    step = len(files) // originals
    for number, (_, path) in enumerate(files):
        with Image.open(path) as opened:
            shown = opened.convert("RGBA")
        picture = Image.new("RGB", shown.size, (255, 255, 255))
        picture.paste(shown, mask=shown.getchannel("A"))
        versions = [picture]
        if number % step == 0:
            versions += [alter(picture) for alter in ALTERATIONS.values()]
        pictures += versions
        of += [number] * len(versions)
    return pictures, of


def photographs() -> tuple[list[Picture], list[int]]:
    """Return scikit-image's photographs, at most 400 pixels a side, altered, and which each is of."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    data, pictures, of = Path(spec.origin).parent / "data", [], []
    for number, name in enumerate(PHOTOGRAPHS.split()):
        with Image.open(next(data.glob(f"{name}.*"))) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((400, 400))
        versions = [picture, *(alter(picture) for alter in ALTERATIONS.values())]
        pictures += versions
        of += [number] * len(versions)
    return pictures, of


def embed(pictures: Sequence[Picture], model: str) -> npt.NDArray[np.float16]:
    """Embed as a worker does, in full precision."""
    embedder = load_embedder(model, device="cpu", precision="fp32")
    blocks = [embedder.embed_images(pictures[first : first + 64]) for first in range(0, len(pictures), 64)]
    return np.vstack(blocks).astype(np.float16)


def ours(vectors: npt.NDArray[np.float16], threshold: float, linkage: str) -> tuple[Pairs, Groups]:
    """Return groups by a linkage, and the pairs in them; without one the pairs within the threshold."""
    found = find_pairs(vectors, threshold)
    if not linkage:
        pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
        return pairs, connected(pairs, len(vectors))
    groups = link(found.first, found.second, found.similarities, linkage)
    return within(groups), groups


def within(groups: Groups) -> Pairs:
    """Return all pairs of rows that are in one group."""
    return {(a, b) for group in groups for a in group for b in group if a < b}


def immich(vectors: npt.NDArray[np.float16], threshold: float) -> tuple[Pairs, Groups]:
    """Do what immich's job does for each asset: the nearest within the distance, and all their groups become one."""
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    group_of: dict[int, int] = {}
    similarities = wide @ wide.T
    np.fill_diagonal(similarities, -1)
    for row, alike in enumerate(similarities):
        nearest = np.argsort(-alike)[:NEAREST]
        matches = [int(other) for other in nearest if alike[other] >= threshold]
        if not matches:
            continue
        merged = {group_of[match] for match in [row, *matches] if match in group_of}
        target = min(merged, default=row)
        for asset, group in group_of.items():
            if group in merged:
                group_of[asset] = target
        for asset in (row, *matches):
            group_of[asset] = target
    groups = of_numbers(group_of)
    return within(groups), groups


def of_numbers(group_of: dict[int, int]) -> Groups:
    """Return the members of each group."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, group in sorted(group_of.items()):
        members[group].append(row)
    return [rows for rows in members.values() if len(rows) > 1]


def cnn(vectors: npt.NDArray[np.float16]) -> Callable[[float], tuple[Pairs, Groups]]:
    """Return how imagededup's CNN finds pairs among vectors, at a cosine similarity."""
    import torch

    methods = imagededup()
    network = methods.custom(name="given", model=torch.nn.Identity(), transform=lambda picture: picture)
    finder = methods.CNN(verbose=False, model_config=network)
    encodings = {str(number): vector.astype(np.float32) for number, vector in enumerate(vectors)}

    def find(similarity: float) -> tuple[Pairs, Groups]:
        found = finder.find_duplicates(
            encoding_map=encodings, min_similarity_threshold=similarity, num_sim_workers=0
        )
        return of_answer(found, len(vectors))

    return find


def hashes(method: str, pictures: Sequence[Picture]) -> Callable[[float], tuple[Pairs, Groups]]:
    """Return how imagededup's hash of this name finds pairs within a Hamming distance."""
    hasher = getattr(imagededup(), method)(verbose=False)
    encodings = {
        str(number): hasher.encode_image(image_array=np.asarray(p)) for number, p in enumerate(pictures)
    }

    def find(distance: float) -> tuple[Pairs, Groups]:
        found = hasher.find_duplicates(
            encoding_map=encodings, max_distance_threshold=int(distance), num_dist_workers=0
        )
        return of_answer(found, len(pictures))

    return find


def imagededup() -> Any:  # noqa: ANN401 - untyped
    """Import it."""
    logging.disable(logging.INFO)
    import_open_clip()  # which knows how to import torchvision beside a CPU-only torch; imagededup imports that too
    from imagededup import methods
    from imagededup.utils.models import CustomModel

    methods.custom = CustomModel
    return methods


def of_answer(found: dict[str, list[str]], rows: int) -> tuple[Pairs, Groups]:
    """Return the pairs that imagededup tells of each picture, and what they connect."""
    pairs = {(min(int(a), int(b)), max(int(a), int(b))) for a, others in found.items() for b in others}
    return pairs, connected(pairs, rows)


def connected(pairs: Iterable[tuple[int, ...]], rows: int) -> Groups:
    """Join all that pairs chain together."""
    parents = list(range(rows))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    for one, other in pairs:
        parents[root(one)] = root(other)
    return of_numbers({row: root(row) for row in range(rows)})


def judge(found: tuple[Pairs, Groups], of: Sequence[int]) -> dict[str, float]:
    """Compare with what was altered from what."""
    pairs, groups = found
    true = sum(count * (count - 1) // 2 for count in Counter(of).values())
    right = sum(of[a] == of[b] for a, b in pairs)
    counts = [Counter(of[row] for row in group) for group in groups]
    groups_of = Counter(original for group in counts for original in group)
    precision, recall = right / max(len(pairs), 1), right / true
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "broken": sum(number > 1 for number in groups_of.values()),
        "chained": sum(len(group) > 1 for group in counts),
        "largest": max([len(group) for group in counts], default=0),
        "strangers": sum(group.total() - max(group.values()) for group in counts),
    }


def compare(
    name: str, pictures: Sequence[Picture], of: Sequence[int], vectors: npt.NDArray[np.float16], every: bool
) -> None:
    """Print the lines of one set of pictures."""
    default = default_threshold(MODELS[name])[0]
    similarities = [similarity for similarity in SIMILARITIES if similarity >= LOWEST[name]]
    ways: dict[str, tuple[Callable[[float], tuple[Pairs, Groups]], float, Sequence[float]]] = {
        "links": (lambda t: ours(vectors, t, "links"), default, similarities),
        "share": (lambda t: ours(vectors, t, "share"), default, similarities),
        "complete": (lambda t: ours(vectors, t, "complete"), default, similarities),
        "pairs": (lambda t: ours(vectors, t, ""), default, similarities),
        "immich": (lambda t: immich(vectors, t), IMMICH_DEFAULT, similarities),
    }
    if find_spec("imagededup"):
        ways["CNN"] = (cnn(vectors), CNN_DEFAULT, similarities)
        for method in ("PHash", "DHash", "WHash", "AHash"):
            ways[method] = (hashes(method, pictures), 10, HASH_DISTANCES)
    altered = sum(count > 1 for count in Counter(of).values())
    print(f"\n{name}: {len(pictures):,} pictures, {altered} originals in {len(ALTERATIONS) + 1} versions")
    print(
        f"{'way':<8}{'threshold':>16}{'precision':>11}{'recall':>8}{'F1':>7}{'broken':>8}{'chained':>12}{'strangers':>11}"
    )
    for way, (find, asked, grid) in ways.items():
        results = {threshold: judge(find(threshold), of) for threshold in sorted({asked, *grid})}
        best = max(results, key=lambda threshold: results[threshold]["f1"])
        lines = [(asked, "default"), (best, "best")] + [(t, "") for t in grid if every]
        for threshold, what in lines:
            r = results[threshold]
            chained = f"{r['chained']:.0f} ({r['largest']:.0f})" if r["chained"] else "0"
            print(
                f"{way:<8}{threshold:>8g} {what:<7}{r['precision']:>11.3f}{r['recall']:>8.3f}{r['f1']:>7.3f}"
                f"{r['broken']:>8.0f}{chained:>12}{r['strangers']:>11.0f}",
                flush=True,
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--originals", type=int, default=60, help="of the demo's drawings")
    parser.add_argument("--all", action="store_true", help="print every threshold of the grid")
    parser.add_argument("--only", choices=sorted(MODELS))
    arguments = parser.parse_args()
    if arguments.only != "drawings":
        pictures, of = photographs()
        compare("photographs", pictures, of, embed(pictures, MODELS["photographs"]), arguments.all)
    if arguments.only != "photographs":
        with tempfile.TemporaryDirectory() as folder:
            pictures, of = drawings(arguments.originals, Path(folder))
        compare("drawings", pictures, of, embed(pictures, MODELS["drawings"]), arguments.all)


if __name__ == "__main__":
    main()
