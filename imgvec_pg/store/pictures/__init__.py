"""Pictures as rows of a collection share them."""
