"""Make small models of transformers with seeded weights and write transformers' own numbers for them, without imgvec_pg.

Usage: python transformers_reference.py FOLDER TOKENIZER PHOTO...   (writes FOLDER/<kind>/ and FOLDER/<kind>.npz)

Each is saved as save_pretrained does, loaded again by the Auto classes, as the models' cards do, and asked.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:  # PyPI's torchvision beside a CPU-only torch, pytorch/vision issue 9085
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import numpy as np
import transformers
from PIL import Image

TEXTS = ("a photo of a cat", "two red shoes on a table", "the elephant stands " * 40)

TOWER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
STAGES: dict[str, Any] = {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]}
CROPPED = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
SQUASHED = {"size": {"height": 64, "width": 64}}


def kinds(words: dict[str, Any]) -> dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]]:
    """Return by model_type: model, configuration, processor, and what the last two are made with."""
    image = {"image_size": 64, "patch_size": 16}
    vit = {**TOWER, **image}
    clip = {
        "text_config": {**TOWER, **words, "max_position_embeddings": 16},
        "vision_config": vit,
        "projection_dim": 48,
    }
    siglip = {"text_config": {**TOWER, **words, "max_position_embeddings": 64}, "vision_config": vit}
    naflex = {**siglip, "vision_config": {**TOWER, "num_patches": 256, "patch_size": 16}}
    return {
        "clip": ("CLIPModel", "CLIPConfig", "CLIPImageProcessor", clip, CROPPED),
        "metaclip_2": ("MetaClip2Model", "MetaClip2Config", "CLIPImageProcessor", clip, CROPPED),
        "siglip": ("SiglipModel", "SiglipConfig", "SiglipImageProcessor", siglip, SQUASHED),
        "siglip2": (
            "Siglip2Model",
            "Siglip2Config",
            "Siglip2ImageProcessor",
            naflex,
            {"max_num_patches": 256},
        ),
        "dinov2": (
            "Dinov2Model",
            "Dinov2Config",
            "BitImageProcessor",
            {**vit, "patch_size": 14, "image_size": 70},
            {**CROPPED, "crop_size": {"height": 70, "width": 70}, "size": {"shortest_edge": 80}},
        ),
        "dinov2_with_registers": (
            "Dinov2WithRegistersModel",
            "Dinov2WithRegistersConfig",
            "BitImageProcessor",
            vit,
            CROPPED,
        ),
        "dinov3_vit": (
            "DINOv3ViTModel",
            "DINOv3ViTConfig",
            "DINOv3ViTImageProcessor",
            {**vit, "num_register_tokens": 4},
            SQUASHED,
        ),
        "dinov3_convnext": (
            "DINOv3ConvNextModel",
            "DINOv3ConvNextConfig",
            "DINOv3ViTImageProcessor",
            {**STAGES, "image_size": 64},
            SQUASHED,
        ),
        "vit": ("ViTForImageClassification", "ViTConfig", "ViTImageProcessor", vit, SQUASHED),
        "deit": ("DeiTForImageClassification", "DeiTConfig", "DeiTImageProcessor", vit, CROPPED),
        "vit_msn": ("ViTMSNModel", "ViTMSNConfig", "ViTImageProcessor", vit, SQUASHED),
        "ijepa": ("IJepaModel", "IJepaConfig", "ViTImageProcessor", vit, SQUASHED),
        "convnext": (
            "ConvNextForImageClassification",
            "ConvNextConfig",
            "ConvNextImageProcessor",
            {**STAGES},
            {"size": {"shortest_edge": 64}},
        ),
        "convnextv2": (
            "ConvNextV2Model",
            "ConvNextV2Config",
            "ConvNextImageProcessor",
            {**STAGES},
            {"size": {"shortest_edge": 64}},
        ),
        "resnet": (
            "ResNetModel",
            "ResNetConfig",
            "ConvNextImageProcessor",
            {**STAGES, "embedding_size": 16, "layer_type": "basic"},
            {"size": {"shortest_edge": 64}},
        ),
        "regnet": (
            "RegNetModel",
            "RegNetConfig",
            "ConvNextImageProcessor",
            {**STAGES, "embedding_size": 16, "groups_width": 16},
            {"size": {"shortest_edge": 64}},
        ),
        "swin": (
            "SwinModel",
            "SwinConfig",
            "ViTImageProcessor",
            {
                "image_size": 64,
                "embed_dim": 16,
                "depths": [1, 1, 2, 1],
                "num_heads": [1, 2, 2, 4],
                "window_size": 2,
            },
            SQUASHED,
        ),
        "swinv2": (
            "Swinv2Model",
            "Swinv2Config",
            "ViTImageProcessor",
            {
                "image_size": 64,
                "embed_dim": 16,
                "depths": [1, 1, 2, 1],
                "num_heads": [1, 2, 2, 4],
                "window_size": 2,
            },
            SQUASHED,
        ),
        "clip_vision_model": ("CLIPVisionModel", "CLIPVisionConfig", "CLIPImageProcessor", vit, CROPPED),
        "siglip_vision_model": (
            "SiglipVisionModel",
            "SiglipVisionConfig",
            "SiglipImageProcessor",
            vit,
            SQUASHED,
        ),
    }


def seed_weights(model: torch.nn.Module) -> None:
    """Fill a model so that embeddings differ from picture to picture, as a fresh model's hardly do."""
    generator = torch.Generator().manual_seed(20240229)
    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim >= 2 else 1
        if fan_in > 1:
            parameter.data.normal_(0.0, 1.6 / fan_in**0.5, generator=generator)
        elif "logit" not in name:
            shift = 1.0 if name.endswith("weight") else 0.0
            parameter.data.normal_(shift, 0.1, generator=generator)


def unit(features: Any) -> Any:
    """Return rows of norm 1, of a tensor or of the output that has it."""
    tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(tensor.flatten(1), dim=-1).numpy()


def ask(kind: str, folder: Path, photos: list[Image.Image]) -> dict[str, Any]:
    """Return what transformers makes of photographs and texts, as the model's card computes it."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        if not hasattr(model, "get_image_features"):
            inputs = transformers.AutoImageProcessor.from_pretrained(folder)(
                images=photos, return_tensors="pt"
            )
            output = model(**inputs)
            if kind in ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit", "deit", "vit_msn"):
                features = output.last_hidden_state[:, 0]
            elif kind == "ijepa":
                features = output.last_hidden_state.mean(dim=1)
            else:
                features = output.pooler_output
            return {"images": unit(features), "pixels": inputs["pixel_values"].numpy()}
        processor = transformers.AutoProcessor.from_pretrained(folder)
        inputs = processor(images=photos, return_tensors="pt")
        padding = (
            {"padding": "max_length", "max_length": 64}
            if kind.startswith("siglip")
            else {"padding": True, "max_length": 16}
        )
        words = processor(text=list(TEXTS), truncation=True, return_tensors="pt", **padding)
        return {
            "images": unit(model.get_image_features(**inputs)),
            "texts": unit(model.get_text_features(**words)),
            "pixels": inputs["pixel_values"].numpy(),
            "tokens": words["input_ids"].numpy(),
        }


def main(folder: Path, tokenizer_folder: Path, photos: list[str]) -> None:
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    size = len(tokenizer)
    words = {"vocab_size": size, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 0}
    opened = [Image.open(photo).convert("RGB") for photo in photos]
    for kind, (model, config, processor, made_with, prepared_with) in kinds(words).items():
        torch.manual_seed(0)
        network = getattr(transformers, model)(getattr(transformers, config)(**made_with)).eval()
        seed_weights(network)
        network.save_pretrained(folder / kind)
        getattr(transformers, processor)(**prepared_with).save_pretrained(folder / kind)
        if hasattr(network, "get_image_features"):
            own = {"siglip": "SiglipProcessor", "siglip2": "Siglip2Processor"}.get(kind, "CLIPProcessor")
            images = transformers.AutoImageProcessor.from_pretrained(folder / kind)
            getattr(transformers, own)(image_processor=images, tokenizer=tokenizer).save_pretrained(
                folder / kind
            )
        np.savez(folder / f"{kind}.npz", **ask(kind, folder / kind, opened))
    (folder / "reference.json").write_text(json.dumps({"texts": TEXTS, "kinds": list(kinds(words))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
