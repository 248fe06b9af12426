"""Embedding in the application's own process, where no worker shall be asked: for a vector that near() takes."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import UsageError
from imgvec_pg.images.decoding.sandbox import decode_for
from imgvec_pg.images.rendering.bands import check_bands
from imgvec_pg.images.rendering.version import NEWEST, require_known
from imgvec_pg.search.query_embedding import check_words


class LocalModel:
    """A collection's model in this process. It is loaded at first use, which needs torch, its weights and seconds.

    Args:
        name: The model's name as the collection has it.
        weights: A safetensors file instead of the hub's.
        prompt: The collection's prompt, {} standing for the words.
        rendering: Version of the rules by which the collection's pictures are rendered, as `collection show` has it.
        bands: Shown of a TIFF of many; likewise.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: Path | None = None,
        device: str = "auto",
        prompt: str = "{}",
        rendering: int = NEWEST,
        bands: Sequence[int] = (),
    ) -> None:
        self.name = name
        check_bands(bands)
        self._rendering, self._bands = require_known(rendering), tuple(bands)
        self._weights, self._device, self._prompt = weights, device, prompt
        self._embedder: Embedder | None = None
        self._lock = Lock()

    def words(self, text: str) -> npt.NDArray[np.float32]:
        """Embed words; shape (dimensions,), L2 norm 1.

        Raises:
            UsageError: The words are empty or too long, or the model knows no words.
            ModelError: The model cannot be loaded.
        """
        check_words(text)
        embedder = self._load()
        if not embedder.has_text:
            raise UsageError(f'model "{self.name}" has no text tower; ask with a picture or a row')
        found: npt.NDArray[np.float32] = embedder.embed_texts([self._prompt.replace("{}", text)])[0]
        return found

    def picture(self, picture: bytes | PillowImage.Image) -> npt.NDArray[np.float32]:
        """Embed a picture file's bytes or a PIL image; shape (dimensions,), L2 norm 1.

        Raises:
            ImageError: It does not decode.
            DecoderError: No process can be started to decode it in.
            ModelError: The model cannot be loaded.
        """
        embedder = self._load()
        image = (
            decode_for(embedder, picture, self._rendering, self._bands)
            if isinstance(picture, bytes)
            else picture.convert("RGB")
        )
        images: Sequence[PillowImage.Image] = [image]
        found: npt.NDArray[np.float32] = embedder.embed_images(images)[0]
        return found

    def _load(self) -> Embedder:
        with self._lock:
            if self._embedder is None:
                self._embedder = load_embedder(self.name, weights=self._weights, device=self._device)
            return self._embedder
