"""The documentation site: pages generated from the code, and the hook that builds links into the checkout."""
