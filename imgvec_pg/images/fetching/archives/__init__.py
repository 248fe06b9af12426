"""Archives whose members are pictures: read where they lie, by position, without unpacking."""
