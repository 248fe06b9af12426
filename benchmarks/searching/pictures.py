"""Real embeddings: the demo's pictures, each altered at random ten times, as the demo's model sees them."""

import io
import random

import numpy as np
from generator import Vectors
from PIL import Image, ImageEnhance

from imgvec_pg.demo.pictures import load_images, read_manifest
from imgvec_pg.embedding.load import load_embedder
from searching.shop import QUERIES, Shop, furnish

COPIES, BATCH = 10, 512


def imagine_pictures() -> Shop:
    """Embed 18,860 altered pictures to store and 200 others, held out, to ask with; 256 dimensions, seed 9."""
    chance = random.Random(9)
    images = load_images(read_manifest())
    altered = [alter(image, chance) for image in images for _ in range(COPIES)]
    altered += [alter(image, chance) for image in chance.sample(images, QUERIES)]
    embedder = load_embedder("demo")
    vectors: Vectors = np.concatenate(
        [embedder.embed_images(altered[first : first + BATCH]) for first in range(0, len(altered), BATCH)]
    )
    # Neighbouring rows are copies of one picture; in a table they would not lie together.
    order = np.random.default_rng(9).permutation(len(vectors) - QUERIES)
    return furnish(vectors[order], vectors[-QUERIES:])


def alter(image: Image.Image, chance: random.Random) -> Image.Image:
    """Turn by up to 10 degrees, crop by up to a tenth of each side, recolour, and save as JPEG of quality 30 to 90."""
    width, height = image.size
    turned = image.rotate(chance.uniform(-10, 10), Image.Resampling.BILINEAR, fillcolor="white")
    left, top, right, bottom = (chance.uniform(0, 0.1) for _ in range(4))
    cropped = turned.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
    for enhance in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        cropped = enhance(cropped).enhance(chance.uniform(0.7, 1.3))
    stored = io.BytesIO()
    cropped.save(stored, "JPEG", quality=chance.randint(30, 90))
    return Image.open(stored).convert("RGB")
