"""Load a model with its variants. Importing this module does not import torch."""

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.description import PLUGIN
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.variants import ModelVariants, PlainVariants


def load_variants(name: str, *, device: str = "auto") -> ModelVariants:
    """Load a model with its variants, in float32: half precision would hide how near two of them are.

    Raises:
        As load_embedder.
    """
    embedder = load_embedder(name, device=device, precision="fp32")
    model = describe_model(name)
    if model.library == PLUGIN:
        return PlainVariants(embedder)
    from imgvec_pg.embedding.torch_models.torch_variants import TorchVariants  # torch, only now

    return TorchVariants(embedder, model)
