"""Parts of ten_million.py: vectors in blocks with their true neighbours, what a server takes, and the stages measured."""
