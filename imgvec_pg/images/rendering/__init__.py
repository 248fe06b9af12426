"""Rules by which an encoded picture becomes the pixels that a person sees, and their versions."""
