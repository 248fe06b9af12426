"""Commands for queries other than nearest neighbours, one module each."""
