"""Hundreds of picture files made from the real photographs that scikit-image ships."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

ORIGINALS = tuple(
    f"{name}.jpg" if name in {"hubble_deep_field", "retina", "rocket"} else f"{name}.png"
    for name in (
        *("astronaut", "brick", "camera", "cell", "chelsea", "clock_motion", "coffee", "coins", "grass"),
        *(
            "gravel",
            "hubble_deep_field",
            "ihc",
            "moon",
            "motorcycle_left",
            "page",
            "retina",
            "rocket",
            "text",
        ),
    )
)


def crop(image: Image.Image, share: float) -> Image.Image:
    """Take `share` of the width and height away, a quarter of it on the left and top."""
    width, height = image.size
    left, top = int(width * share / 4), int(height * share / 4)
    return image.crop((left, top, left + int(width * (1 - share)), top + int(height * (1 - share))))


ALTERATIONS: dict[str, tuple[Callable[[Image.Image], Image.Image], str, dict[str, int]]] = {
    "same": (lambda image: image, "png", {}),
    "jpeg30": (lambda image: image, "jpg", {"quality": 30}),
    "webp50": (lambda image: image, "webp", {"quality": 50}),
    "mirror": (ImageOps.mirror, "jpg", {"quality": 90}),
    "flip": (ImageOps.flip, "jpg", {"quality": 90}),
    "crop10": (lambda image: crop(image, 0.1), "jpg", {"quality": 90}),
    "crop30": (lambda image: crop(image, 0.3), "jpg", {"quality": 90}),
    "half": (lambda image: image.resize((image.width // 2, image.height // 2)), "png", {}),
    "wide": (lambda image: image.resize((image.width, image.height // 2)), "png", {}),
    "grey": (lambda image: ImageOps.grayscale(image).convert("RGB"), "jpg", {"quality": 90}),
    "bright": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), "jpg", {"quality": 90}),
    "quarter": (lambda image: image.rotate(90, expand=True), "png", {}),
}


def write_photographs(folder: Path) -> list[Path]:
    """Write every alteration of every photograph, at most 400 pixels wide, and return the files in order."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for name in ORIGINALS:
        with Image.open(data / name) as opened:
            original = opened.convert("RGB")
        original.thumbnail((400, 400))
        for label, (alter, suffix, options) in ALTERATIONS.items():
            file = folder / f"{Path(name).stem}-{label}.{suffix}"
            alter(original).save(file, **options)
            files.append(file)
    return files
