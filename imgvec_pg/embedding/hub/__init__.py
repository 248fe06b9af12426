"""Models of the Hugging Face hub by name: hf-hub:org/name (OpenCLIP) and transformers:org/name."""
