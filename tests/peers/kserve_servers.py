"""Triton's own server and MLServer, asked by imgvec over KServe v2: the vectors they give are those of their model.

Run: python tests/peers/kserve_servers.py [--only triton|mlserver] [--environments DIR]

Installs nvidia-pytriton==0.7.0, of which Triton's program alone is used, and mlserver==1.7.1 into an environment each
(two minutes, 0.7 GB), or takes DIR/triton and DIR/mlserver. Each serves inside_grid_model.py on loopback. Here
RemoteEmbedder embeds 40 pictures and two texts by every way: raw bytes behind the JSON, base64 in it, FP16, one output
of two, a model of words, one version.

Exit code 1 where a vector differs from the model's own by more than float32's rounding (FP16's for FP16), a way other than
expected is found, or a model that is unknown is not refused.
"""

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

import numpy as np
from inside_grid_model import grid_vector, word_vector
from PIL import Image

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder
from imgvec_pg.errors import ModelAnswerError

HERE = Path(__file__).parent
REQUIREMENTS = {
    "triton": ("nvidia-pytriton==0.7.0", "pillow"),
    "mlserver": ("mlserver==1.7.1", "pillow"),
}
READY_SECONDS = 120
TEXTS = ("two red shoes", "a cat")
CASES = {
    # server, name before and after the URL: the way expected, the largest difference allowed
    ("triton", "bytes", ""): ("kserve-binary", 1e-6),
    ("triton", "bytes/versions/1", "/v2"): ("kserve-binary", 1e-6),
    ("triton", "base64", "#words=words"): ("kserve", 1e-6),
    ("triton", "halves", "#output=half"): ("kserve-binary", 2e-4),
    ("mlserver", "pictures", "#words=words"): ("kserve", 1e-6),
}


def main() -> int:
    """Run all of it and print a line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=sorted(REQUIREMENTS))
    parser.add_argument("--environments", type=Path)
    options = parser.parse_args()
    os.environ["IMGVEC_ALLOW_NETWORKS"] = "127.0.0.1"
    root = Path(tempfile.mkdtemp(prefix="imgvec-peer-"))
    failed = 0
    try:
        for kind in [options.only] if options.only else sorted(REQUIREMENTS):
            failed += ask_one(kind, options.environments or root / "environments", root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if failed else 0


def ask_one(kind: str, environments: Path, root: Path) -> int:
    """Start one server, ask it in each way, end it; return how many failed."""
    python = environments / kind / "bin" / "python"
    if not python.exists():
        venv.create(environments / kind, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[kind]], check=True)
    port = free_port()
    serving = start(kind, python, port, root / kind)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/v2/health/ready", serving)
        failed = sum(
            not is_right(f"http:{model}@{url}{rest}", way, most)
            for (of, model, rest), (way, most) in CASES.items()
            if of == kind
        )
        try:
            RemoteEmbedder(f"http:nope@{url}")
        except ModelAnswerError as error:
            print(f"{kind}: {error}")
        else:
            failed += 1
        return failed
    finally:
        serving.terminate()
        serving.wait()


def is_right(name: str, way: str, most: float) -> bool:
    """Whether a model's vectors are its own, by the way expected."""
    remote = RemoteEmbedder(name)
    pictures = made_pictures()
    found = remote.embed_images(pictures)
    differ = float(np.abs(found - unit([grid_vector(as_png(picture)) for picture in pictures])).max())
    if remote.has_text:
        words = np.abs(remote.embed_texts(TEXTS) - unit([word_vector(text) for text in TEXTS]))
        differ = max(differ, float(words.max()))
    print(
        f"{name}: {remote._dialect.name}, {remote._dialect.images_per_request} pictures a request, "
        f"{'words, ' if remote.has_text else ''}largest difference {differ:.1e}"
    )
    return remote._dialect.name == way and differ <= most and remote.has_text == ("words=" in name)


def start(kind: str, python: Path, port: int, directory: Path) -> "subprocess.Popen[bytes]":
    """Start a server of the model."""
    directory.mkdir()
    log = (directory / "log").open("wb")
    if kind == "triton":
        command = [str(python), str(HERE / "inside_triton.py"), str(port), str(directory)]
    else:
        write_mlserver(directory, port)
        command = [str(python.with_name("mlserver")), "start", str(directory)]
    return subprocess.Popen(
        command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(HERE)}, cwd=directory
    )


def write_mlserver(directory: Path, port: int) -> None:
    """Write the settings of MLServer and of its two models."""
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    for name in ("pictures", "words"):
        model = {
            "name": name,
            "implementation": f"inside_mlserver.{name.capitalize()}",
            "inputs": [{"name": "taken", "datatype": "BYTES", "shape": [-1, 1]}],
            "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 48]}],
        }
        (directory / name).mkdir()
        (directory / name / "model-settings.json").write_text(json.dumps(model))


def wait_for(url: str, serving: "subprocess.Popen[bytes]") -> None:
    """Wait until a server is ready."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{serving.args} is not ready")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def made_pictures() -> list[Image.Image]:
    noise = np.random.default_rng(1)
    return [
        Image.fromarray(noise.integers(0, 256, (20, 30, 3), dtype=np.uint8) // (place % 7 + 1))
        for place in range(40)
    ]


def as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def unit(vectors: list[Float32Array]) -> Float32Array:
    stacked = np.stack(vectors).astype(np.float64)
    return (stacked / np.linalg.norm(stacked, axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
