"""Make the demo's photographs, `imgvec_pg/demo/photographs/*.jpg`, from those that scikit-image ships.

Run: python -m tools.demo_photographs. README.md beside them says whose they are; all may be used by anybody for anything.
"""

from pathlib import Path

from PIL import Image
from skimage import data

FOLDER = Path(__file__).resolve().parents[1] / "imgvec_pg" / "demo" / "photographs"
FILES = {
    "astronaut": "astronaut",
    "brick": "bricks",
    "camera": "cameraman",
    "chelsea": "cat",
    "clock": "clock",
    "coffee": "coffee",
    "grass": "grass",
    "gravel": "gravel",
    "hubble_deep_field": "galaxies",
    "retina": "retina",
    "rocket": "rocket",
}
"""scikit-image's names, and the demo's."""
LONGEST_SIDE, QUALITY = 400, 88


def main() -> None:
    """Write the files."""
    for name, file in FILES.items():
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        image.save(FOLDER / f"{file}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
