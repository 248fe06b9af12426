"""Infinity's own server, asked by imgvec over /embeddings: the vectors it gives are those of transformers in its environment.

Run: python tests/peers/infinity_server.py [--environment DIR]

Installs infinity-emb==0.0.77 with torch of the CPU into an environment (two minutes, 2 GB), or takes DIR. It serves a small CLIP
with seeded weights (inside_infinity.py) on loopback; RemoteEmbedder embeds twelve pictures and two texts. Infinity cuts texts of
CLIP at 20 tokens (findings/infinity-cuts-clip-texts-at-20-tokens.sh), so the texts are shorter.

Exit code 1 where a vector differs by more than float32's rounding, or the way found is another.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from kserve_servers import free_port, wait_for
from PIL import Image

from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder

HERE = Path(__file__).parent
REQUIREMENTS = ("infinity-emb[server,torch,vision]==0.0.77", "click==8.1.8", "aiohttp", "torch==2.13.0")
"""Its command line fails beside click 8.2 and newer, and pictures want aiohttp, which its extras do not name."""
TEXTS = ("a photo of a cat", "two red shoes")
MOST = 1e-6


def main() -> int:
    """Run all of it and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=Path)
    options = parser.parse_args()
    os.environ["IMGVEC_ALLOW_NETWORKS"] = "127.0.0.1"
    root = Path(tempfile.mkdtemp(prefix="imgvec-peer-"))
    environment = options.environment or root / "environment"
    try:
        if not (environment / "bin" / "infinity_emb").exists():
            venv.create(environment, with_pip=True)
            python = environment / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
            # PyPI's torchvision does not go with a torch for the CPU (pytorch/vision issue 9085), and is not needed.
            subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"], check=True)
        return ask(environment / "bin", root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def ask(programs: Path, root: Path) -> int:
    """Make the model, serve it, ask for its vectors and compare."""
    pictures = np.random.default_rng(1).integers(0, 255, (12, 80, 100, 3), dtype=np.uint8)
    np.save(root / "pictures.npy", pictures)
    subprocess.run(
        [programs / "python", HERE / "inside_infinity.py", root, root / "pictures.npy", *TEXTS], check=True
    )
    expected, port = np.load(root / "expected.npz"), free_port()
    serve = ["v2", "--model-id", root / "model", "--served-model-name", "clip", "--host", "127.0.0.1"]
    serve += ["--port", port, "--engine", "torch", "--device", "cpu", "--dtype", "float32"]
    serve += ["--no-model-warmup", "--no-bettertransformer"]
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(each) for each in (programs / "infinity_emb", *serve)],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"},
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        remote = RemoteEmbedder(f"http:clip@http://127.0.0.1:{port}")
        found = remote.embed_images([Image.fromarray(one) for one in pictures])
        differ = [
            float(np.abs(found - expected["images"]).max()),
            float(np.abs(remote.embed_texts(TEXTS) - expected["texts"]).max()),
        ]
        print(
            f"Infinity: {remote._dialect.name}, {remote._dialect.images_per_request} pictures a request, at "
            f"{remote._dialect.client.shown}; largest difference of pictures {differ[0]:.1e}, of texts {differ[1]:.1e}"
        )
        return int(max(differ) > MOST or remote._dialect.name != "modality")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
