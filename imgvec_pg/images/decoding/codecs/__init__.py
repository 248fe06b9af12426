"""Formats of the trades, each read by one library that an extra installs; run in decoding children only."""
