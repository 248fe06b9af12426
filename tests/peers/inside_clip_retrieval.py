"""clip-retrieval itself: embeds, indexes and answers. Runs in an environment of its own and imports nothing of imgvec_pg.

Usage: inside_clip_retrieval.py infer|index|ask ARGUMENTS.json
    infer: {"pictures": a folder or a pattern of shards, "out", "layout": "files"|"webdataset", "part_rows"} writes
        img_emb/ and metadata/
    index: {"embeddings", "index"} lets autofaiss build and tune an index
    ask: {"index", "questions": [{"words"}|{"picture"}], "answers", "k"} writes the k paths, their similarities and the
        query's vector for each question
`model` is {"name", "config", "weights", "folder"}: a configuration that OpenCLIP learns and a file of weights, which all_clip's
name `open_clip:NAME/FILE` takes as it takes any checkpoint. The working directory is the model's folder, for its tokenizer.
"""

import base64
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch

try:
    import torchvision
except RuntimeError as error:
    # PyPI's torchvision beside a CPU-only torch (pytorch/vision #9085).
    if "nms does not exist" not in str(error):
        raise
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

import open_clip


def learn(model: dict[str, str]) -> str:
    """Teach OpenCLIP the model's configuration, and return all_clip's name of it."""
    open_clip.add_model_config(Path(model["config"]))
    return f"open_clip:{model['name']}/{model['weights']}"


def infer(asked: dict[str, Any]) -> None:
    """Embed a folder of pictures, or shards of a webdataset, with clip-retrieval's own command."""
    from clip_retrieval import clip_inference

    is_tar = asked["layout"] == "webdataset"
    clip_inference(
        input_dataset=asked["pictures"],
        output_folder=asked["out"],
        input_format=asked["layout"],
        batch_size=16,  # it warms up with as many
        num_prepro_workers=0,
        enable_text=is_tar,
        enable_metadata=is_tar,
        write_batch_size=asked["part_rows"],
        wds_number_file_per_input_file=asked["part_rows"],
        wds_image_key="jpg",
        clip_model=learn(asked["model"]),
    )


def index(asked: dict[str, Any]) -> None:
    """Build an index with clip-retrieval's own command."""
    from clip_retrieval import clip_index

    clip_index(asked["embeddings"], asked["index"], nb_cores=2)


def ask(asked: dict[str, Any]) -> None:
    """Answer questions with the service of `clip-retrieval back`, without its web server."""
    import faiss
    from clip_retrieval.clip_back import ClipOptions, KnnService, load_clip_indices

    indices = Path(asked["index"]) / "indices.json"
    indices.write_text(json.dumps({"pictures": asked["index"]}))
    resources = load_clip_indices(
        str(indices),
        ClipOptions(
            indice_folder="",
            clip_model=learn(asked["model"]),
            enable_hdf5=False,
            enable_faiss_memory_mapping=False,
            columns_to_return=["image_path"],
            reorder_metadata_by_ivf_index=False,
            enable_mclip_option=False,
            use_jit=False,
            use_arrow=False,
            provide_safety_model=False,
            provide_violence_detector=False,
            provide_aesthetic_embeddings=False,
        ),
    )
    service = KnnService(clip_resources=resources)
    resource = resources["pictures"]
    answers = []
    for question in asked["questions"]:
        given = {
            "text_input": question.get("words"),
            "image_input": base64.b64encode(Path(question["picture"]).read_bytes())
            if "picture" in question
            else None,
        }
        found = service.query(**given, num_images=asked["k"], num_result_ids=asked["k"], deduplicate=False)
        query = service.compute_query(
            resource, **given, image_url_input=None, embedding_input=None, use_mclip=False, aesthetic_score=None,
            aesthetic_weight=None,
        )  # fmt: skip
        answers.append(
            {
                "paths": [row["image_path"] for row in found],
                "similarities": [row["similarity"] for row in found],
                "query": query[0].tolist(),
            }
        )
    kind = type(faiss.downcast_index(resource.image_index)).__name__
    Path(asked["answers"]).write_text(json.dumps({"index": kind, "answers": answers}))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    {"infer": infer, "index": index, "ask": ask}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
