"""Images and words become vectors of norm 1. The only floor that imports torch."""
