"""Commands for queries beyond the nearest rows, one module each."""
