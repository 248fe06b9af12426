"""Notes about a picture that was embedded all the same: short codes, in `image.info["notes"]` of what decoding returns."""

PROFILE_IGNORED = "profile_ignored"
"""Its colour profile is broken, of another colour space than its pixels, or beyond `colour.MAX_PROFILE_BYTES`: taken as sRGB."""
NO_END = "no_end"
"""A JPEG that has all its pixels and lacks its end marker."""
OVER_GREY = "over_grey"
"""Over white nothing of it would be seen: its transparent parts were laid over neutral grey."""
LATER_FRAME = "later_frame"
"""An animation whose first frame shows nothing: the first that shows anything was taken."""
BLANK = "blank"
"""One single colour."""

NOTES = frozenset({PROFILE_IGNORED, NO_END, OVER_GREY, LATER_FRAME, BLANK})
"""All of them."""
