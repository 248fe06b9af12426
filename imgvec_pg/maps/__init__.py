"""Maps of a collection: every picture as a point of a plane, like beside like, in named clusters."""
