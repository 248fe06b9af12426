"""Models: images and words to vectors of L2 norm 1. Only torch_models/ imports torch."""
