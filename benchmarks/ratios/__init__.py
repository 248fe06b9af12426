"""All ratios of the project against their targets, in one run: `make bench`."""
