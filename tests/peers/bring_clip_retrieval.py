"""clip-retrieval 2.45's own output, imported as it wrote it: the same questions asked of its index and of imgvec's.

Run: python tests/peers/bring_clip_retrieval.py [--environment DIR] [--pictures 1886] [--questions 100]

Installs clip-retrieval==2.45.0 with what it asks for into an environment of its own (4 minutes; 1.9 GB, more where pip takes
torch with NVIDIA's libraries), or takes the one in DIR. There inside_clip_retrieval.py embeds the demo's drawings, as JPEG
files in a folder and as two shards of a webdataset, and builds an index by autofaiss. Here `imgvec import` takes both folders,
without --trust-model: it embeds 50 rows again by the same weights, seeded ones of a small vision transformer. Then each
question, half words and half cropped pictures that neither has seen, is asked of both for ten.

Exit code 1 where an import refuses or loses a row, or the exact answer to clip-retrieval's own vector of a question has other
pictures than its index (a flat one below 1,000 pictures or so, which is exact), beyond those whose similarity is the same
within float16's rounding. The table printed is kept in benchmarks/results/clip_retrieval.txt.
"""

import argparse
import contextlib
import importlib.resources
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pgvector import HalfVector
from PIL import Image
from safetensors.torch import save_file

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.runtime import import_open_clip
from imgvec_pg.images.decoding.sandbox import decode_for

REQUIREMENTS = ("clip-retrieval==2.45.0", "setuptools<81", "torch==2.13.0", "torchvision==0.28.0")
"""It imports pkg_resources, which setuptools 81 no longer has."""
INSIDE = Path(__file__).with_name("inside_clip_retrieval.py")
K = 10
ROUNDING = 1e-3
"""Both keep float16; similarities near 1 are sums of 256 products, each rounded to 11 bits."""
SHARDS = 2


def main() -> int:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=Path)
    parser.add_argument("--pictures", type=int, default=1886)
    parser.add_argument("--questions", type=int, default=100)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="imgvec-peer-"))
    directory = make_temporary_directory("imgvec-peer-server-")
    try:
        environment = options.environment or install(root / "environment")
        peer = Peer(environment, root, write_model(root / "model"))
        names = write_pictures(root / "photos", options.pictures)
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server:
            return compare(peer, server.dsn(), names, options.questions)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def install(environment: Path) -> Path:
    """Make an environment with clip-retrieval in it."""
    venv.create(environment, with_pip=True)
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)
    return environment


class Peer:
    """clip-retrieval in its environment.

    Args:
        folder: For what it writes.
        model: Folder of the model, in OpenCLIP's local-dir format.
    """

    def __init__(self, environment: Path, folder: Path, model: Path) -> None:
        self.python = environment / "bin" / "python"
        self.folder = folder
        self.model_folder = model
        self.model = {
            "name": "imgvec-peer",
            "config": str(folder / "imgvec-peer.json"),
            "weights": str(model / "open_clip_model.safetensors"),
        }
        config = json.loads((model / "open_clip_config.json").read_text())
        Path(self.model["config"]).write_text(json.dumps(config["model_cfg"]))

    def __call__(self, action: str, **asked: Any) -> float:
        """Let it do something, and return the seconds."""
        arguments = self.folder / f"{action}.json"
        arguments.write_text(json.dumps({**asked, "model": self.model}))
        began = time.perf_counter()
        done = subprocess.run(
            [self.python, "-W", "ignore", INSIDE, action, arguments],
            cwd=self.model_folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"clip-retrieval failed at {action}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        seconds = time.perf_counter() - began
        print(f"clip-retrieval: {action}, {seconds:.0f} s", file=sys.stderr, flush=True)
        return seconds


def write_model(folder: Path) -> Path:
    """Write a small vision transformer with seeded weights and OpenAI's preprocessing.

    Its blocks' weights are thrice what OpenCLIP draws: pictures then lie at cosines of 0.2 to 0.9, not at 0.97. It has no
    batch normalisation: all_clip 1.3 leaves OpenCLIP's models in training mode, in which that depends on a picture's
    neighbours in its batch (findings/all-clip-embeds-in-training-mode.sh): the demo's own model was refused at a median of 0.91.
    """
    open_clip = import_open_clip()
    config = {
        "embed_dim": 256,
        "vision_cfg": {"image_size": 64, "layers": 3, "width": 192, "head_width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
    }
    torch.manual_seed(5)
    weights = open_clip.CLIP(**config).state_dict()
    for name, tensor in weights.items():
        if "visual.transformer" in name and name.endswith("weight") and tensor.ndim == 2:
            tensor *= 3
    folder.mkdir()
    save_file(weights, folder / "open_clip_model.safetensors")
    preprocessing = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing})
    )
    return folder


def write_pictures(folder: Path, count: int) -> list[str]:
    """Write drawings as JPEG files, a thousand to a folder, and return their names below it."""
    packed = importlib.resources.files("imgvec_pg.demo") / "pictures" / "pictures.zip"
    names = []
    with packed.open("rb") as file, zipfile.ZipFile(file) as drawings:
        for number, name in enumerate(sorted(drawings.namelist())[:count]):
            with Image.open(io.BytesIO(drawings.read(name))) as drawing:
                flat = Image.new("RGB", drawing.size, "white")
                flat.paste(drawing, mask=drawing.getchannel("A") if "A" in drawing.getbands() else None)
            path = folder / str(number // 1000) / f"{Path(name).stem}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            flat.save(path, quality=92)
            names.append(str(path.relative_to(folder)))
    return names


def write_shards(photos: Path, names: list[str], folder: Path) -> str:
    """Write the pictures as img2dataset does, numbered from 0, each with a caption and JSON beside it; return their pattern."""
    folder.mkdir()
    paths = [folder / f"{number:05}.tar" for number in range(SHARDS)]
    size = -(-len(names) // SHARDS)
    for number, path in enumerate(paths):
        with tarfile.open(path, "w") as tar:
            for row in range(number * size, min((number + 1) * size, len(names))):
                caption = Path(names[row]).stem
                described = {"caption": caption, "url": f"https://img.example.com/{names[row]}", "width": 64}
                for ending, data in (
                    ("jpg", (photos / names[row]).read_bytes()),
                    ("txt", caption.encode()),
                    ("json", json.dumps(described).encode()),
                ):
                    entry = tarfile.TarInfo(f"{row:09}.{ending}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    return f"{folder}/{{{paths[0].stem}..{paths[-1].stem}}}.tar"


def write_questions(photos: Path, names: list[str], folder: Path, count: int) -> list[dict[str, str]]:
    """Return questions: names of pictures as words, and pictures cropped by a tenth."""
    folder.mkdir()
    chosen = np.random.default_rng(11).choice(len(names), count, replace=False).tolist()
    questions = []
    for number, place in enumerate(chosen):
        if number % 2:
            questions.append({"words": Path(names[place]).stem.rpartition("-")[0].replace("-", " ")})
            continue
        with Image.open(photos / names[place]) as picture:
            width, height = picture.size
            picture.crop((width // 10, 0, width, height - height // 10)).save(folder / f"{number}.png")
        questions.append({"picture": str(folder / f"{number}.png")})
    return questions


def imgvec(dsn: str, *arguments: object) -> str:
    """Run a command here and return what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(cli, [*map(str, arguments), "--dsn", dsn])
    if code:
        sys.exit(f"imgvec {' '.join(map(str, arguments))}: exit code {code}\n{said.getvalue()}")
    return said.getvalue()


def compare(peer: Peer, dsn: str, names: list[str], count: int) -> int:
    """Embed and index there, import here, ask both; return the exit code."""
    photos, embedded, index = peer.folder / "photos", peer.folder / "embedded", peer.folder / "index"
    part_rows = -(-len(names) // SHARDS)
    took = peer("infer", pictures=str(photos), out=str(embedded), layout="files", part_rows=part_rows // 2)
    shards = write_shards(photos, names, peer.folder / "shards")
    peer("infer", pictures=shards, out=str(peer.folder / "tars"), layout="webdataset", part_rows=part_rows)
    peer("index", embeddings=str(embedded), index=str(index))
    questions = write_questions(photos, names, peer.folder / "questions", count)
    answers = peer.folder / "answers.json"
    peer("ask", index=str(index), questions=questions, answers=str(answers), k=K)
    told = json.loads(answers.read_text())
    parts = sorted(path.name for path in (embedded / "img_emb").iterdir())
    print(
        f"{len(names):,} pictures, embedded by clip-retrieval in {took:.0f} s: {', '.join(parts)}; index {told['index']}"
    )
    with connect(dsn) as connection:
        upgrade(connection)
        make_tables(connection, names)
        model = f"local-dir:{peer.model_folder}"
        for table, folder, options in (
            ("photo", embedded, []),
            # Of a webdataset image_path is the sample's key.
            ("sample", peer.folder / "tars", ["--key-column", "id=image_path"]),
        ):
            name = f"{table}_clip"
            imgvec(
                dsn,
                "collection",
                "create",
                name,
                "--source",
                table,
                "--image",
                "path",
                "--root",
                photos,
                "--model",
                model,
            )
            print(imgvec(dsn, "import", name, folder, *options).strip())
            imgvec(dsn, "backfill", name)
        return judge(connection, peer, questions, told["answers"])


def make_tables(connection: Connection, names: list[str]) -> None:
    """Make photo, whose rows are found by their paths, and sample, by the numbers that img2dataset gave them."""
    for table, first in (("photo", 1), ("sample", 0)):
        connection.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, path text NOT NULL)")
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for number, name in enumerate(names, first):
                copy.write_row((number, name))


def judge(
    connection: Connection, peer: Peer, questions: list[dict[str, str]], answers: list[dict[str, Any]]
) -> int:
    """Ask the questions here and count the answers that are the same."""
    embedder = load_embedder(f"local-dir:{peer.model_folder}", device="cpu")
    photos = f"{peer.folder / 'photos'}/"
    counts: dict[str, list[int]] = {}
    cosines, farthest = [], 0.0
    for question, answer in zip(questions, answers, strict=True):
        theirs = np.array(answer["query"], dtype=np.float32)
        if "words" in question:
            made = embedder.embed_texts([question["words"]])[0]
        else:
            made = embedder.embed_images([decode_for(embedder, Path(question["picture"]).read_bytes(), 1)])[0]
        cosines.append(float(made @ theirs / np.linalg.norm(theirs)))
        expected = [path.removeprefix(photos) for path in answer["paths"]]
        for way, table, query in (
            ("its vector, exactly", "photo", theirs),
            ("its vector, exactly, webdataset", "sample", theirs),
            ("its vector, by the HNSW index", "photo", theirs),
            ("the question, embedded here, exactly", "photo", made),
        ):
            found = (
                f"imgvec.near_{table}_clip(%s::halfvec) AS f JOIN {table} AS s USING (id) ORDER BY f.distance + 0 LIMIT {K}"
                if "exactly" in way
                else f"imgvec.search_{table}_clip(%s::halfvec, {K}) AS f JOIN {table} AS s USING (id) ORDER BY f.distance"
            )
            rows = connection.execute(
                f"SELECT s.path, f.distance FROM {found}", [HalfVector(query).to_text()]
            ).fetchall()
            same, gap = agreement(expected, answer["similarities"], rows)
            counts.setdefault(way, [0, 0, 0])[same] += 1
            farthest = max(farthest, gap) if way.startswith("its vector, exactly") else farthest
    print(f"{len(questions)} questions, half words, half cropped pictures; {K} asked of each\n")
    print(f"{'asked of imgvec':40}{'the same ten':>14}{'same but for ties':>19}{'others':>8}")
    for way, (others, ties, same) in counts.items():
        print(f"{way:40}{same:>14}{ties:>19}{others:>8}")
    print(f"\nsimilarities differ by {farthest:.1e} at most; ", end="")
    print(f"cosine of the two embeddings of one question {min(cosines):.6f} at least")
    return int(any(others for way, (others, _, _) in counts.items() if way.startswith("its vector, exactly")))


def agreement(expected: list[str], similarities: list[float], rows: list[Any]) -> tuple[int, float]:
    """Return 2 for the same pictures, 1 where the last of them are as near as others, 0 else; and how far similarities differ."""
    found = {path: 1 - distance for path, distance in rows}
    gap = max(abs(a - b) for a, b in zip(similarities, sorted(found.values(), reverse=True), strict=True))
    if set(found) == set(expected):
        return 2, gap
    theirs = dict(zip(expected, similarities, strict=True))
    last = min(similarities)
    beside = [
        *(found[path] for path in set(found) - set(expected)),
        *(theirs[path] for path in set(expected) - set(found)),
    ]
    return int(all(abs(similarity - last) < ROUNDING for similarity in beside)), gap


if __name__ == "__main__":
    sys.exit(main())
