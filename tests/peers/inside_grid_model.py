"""A model that needs no weights, the mean colours of a grid of 4 by 4; imported inside the peers' environments too."""

import io

import numpy as np
from PIL import Image

DIMENSIONS = 48


def grid_vector(file: bytes) -> "np.ndarray":
    """Return the vector of an encoded picture: shape (48,), float32, above 0."""
    picture = Image.open(io.BytesIO(file)).convert("RGB").resize((4, 4), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float32).ravel() / 255 + 0.01


def word_vector(text: str) -> "np.ndarray":
    """Return the vector of a text: shape (48,), float32, how often each letter is in it."""
    counts = np.bincount(np.frombuffer(text.encode(), dtype=np.uint8) % DIMENSIONS, minlength=DIMENSIONS)
    return counts.astype(np.float32)
