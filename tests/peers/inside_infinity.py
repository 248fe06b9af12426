"""Inside Infinity's environment: write a small CLIP with seeded weights, and transformers' own vectors of pictures and texts.

Run: python inside_infinity.py FOLDER PICTURES.npy TEXT…   (uint8, shape (n, height, width, 3)); writes into FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

TOWER = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


def write_model(folder: Path) -> None:
    """Write model, tokenizer (bytes, no merges) and image processor."""
    characters = list(bytes_to_unicode().values())
    words = [*characters, *(f"{one}</w>" for one in characters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    processor = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    text = {**TOWER, "vocab_size": len(words), "max_position_embeddings": 77}
    text |= {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    torch.manual_seed(7)
    config = CLIPConfig(
        text_config=text, vision_config={**TOWER, "image_size": 64, "patch_size": 16}, projection_dim=48
    )
    CLIPModel(config).eval().save_pretrained(folder)
    CLIPProcessor(processor, tokenizer).save_pretrained(folder)


def main() -> None:
    """Write both."""
    folder, pictures, words = Path(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3:]
    write_model(folder / "model")
    model = CLIPModel.from_pretrained(folder / "model").eval()
    processor = CLIPProcessor.from_pretrained(folder / "model")
    with torch.no_grad():
        shown = processor(images=[Image.fromarray(one) for one in pictures], return_tensors="pt")
        images = model.get_image_features(**shown)
        texts = model.get_text_features(
            **processor(text=words, return_tensors="pt", padding=True, truncation=True)
        )
    unit = [(each / each.norm(dim=-1, keepdim=True)).numpy() for each in (images, texts)]
    np.savez(folder / "expected.npz", images=unit[0], texts=unit[1])


main()
