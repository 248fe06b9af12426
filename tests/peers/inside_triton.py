"""Run Triton itself, the program that PyTriton's wheel brings, with models of its Python backend: raw bytes, base64, words, FP16.

Run: python inside_triton.py PORT DIRECTORY, inside its own environment; it serves until it is ended. PyTriton's own way to serve
is left out: its 0.7.0 fails beside CPython 3.11.7, whose library is newer than the interpreter that the wheel brings.
"""

import os
import shutil
import sys
from pathlib import Path

import pytriton

MAX_BATCH = 5
MODEL = """
import base64
import sys
sys.path[:0] = {paths}
import numpy as np
import triton_python_backend_utils as pb_utils
from inside_grid_model import grid_vector, word_vector

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "taken").as_numpy()[:, 0]) for request in requests]

    def answer(self, taken):
        vectors = np.stack([{vector} for element in taken]).astype(np.float32)
        outputs = [("half", vectors.astype(np.float16)), ("turned", vectors[:, ::-1].copy())]
        if "{name}" != "halves":
            outputs = [("embedding", vectors)]
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(*output) for output in outputs])
"""
MODELS = {
    "bytes": "grid_vector(element)",
    "base64": "grid_vector(base64.b64decode(element, validate=True))",
    "words": "word_vector(element.decode())",
    "halves": "grid_vector(element)",
}
EMBEDDING = '{name: "embedding" data_type: TYPE_FP32 dims: [48]}'
BOTH = '{name: "half" data_type: TYPE_FP16 dims: [48]}, {name: "turned" data_type: TYPE_FP32 dims: [48]}'


def write_models(repository: Path) -> None:
    """Write the models as Triton reads them; its interpreter does not heed PYTHONPATH."""
    paths = [str(Path(__file__).parent), *(path for path in sys.path if path.endswith("site-packages"))]
    for name, vector in MODELS.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(MODEL.format(name=name, vector=vector, paths=paths))
        (repository / name / "config.pbtxt").write_text(
            f'name: "{name}"\nbackend: "python"\nmax_batch_size: {MAX_BATCH}\n'
            'input [{name: "taken" data_type: TYPE_STRING dims: [1]}]\n'
            f"output [{BOTH if name == 'halves' else EMBEDDING}]\n"
            "instance_group [{count: 1 kind: KIND_CPU}]\n"
        )


def main() -> None:
    port, directory = sys.argv[1], Path(sys.argv[2])
    write_models(directory / "models")
    program = Path(pytriton.__file__).parent / "tritonserver"
    shutil.copytree(program / "backends", directory / "backends")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(
        program / "python_backend_stubs" / version / "triton_python_backend_stub",
        directory / "backends" / "python",
    )
    libraries = Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs"
    server = program / "bin" / "tritonserver"
    arguments = {
        "model-repository": directory / "models",
        "backend-directory": directory / "backends",
        "http-address": "127.0.0.1",
        "http-port": port,
        "allow-grpc": "false",
        "allow-metrics": "false",
    }
    os.execve(  # noqa: S606 - becomes the server, so that ending this process ends it
        server,
        [str(server), *(f"--{name}={value}" for name, value in arguments.items())],
        {**os.environ, "LD_LIBRARY_PATH": str(libraries)},
    )


if __name__ == "__main__":
    main()
