"""Models that a server embeds by: OpenAI's /v1/embeddings with pictures, as vLLM, Infinity and hosted services have it."""
