"""Models that a server embeds by: OpenAI's /v1/embeddings with pictures, as vLLM, Infinity and others have it, or KServe v2."""
