"""Networks and embedders: the only package that imports torch, open_clip and timm."""
