"""The worker: claim, embed, write; nothing lost, nothing stale."""
