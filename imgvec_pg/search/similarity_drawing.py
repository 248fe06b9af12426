"""A similarity matrix as a PNG, for reports."""

import io

from PIL import Image, ImageDraw, ImageFont

from imgvec_pg.search.similarity_scale import STEPS, PictureMatrix, colour_of, ink_on, shown_similarity

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
CELLS = ((12, 96), (30, 60), (60, 40), (100, 28))
"""Pixels of a cell, up to so many pictures."""
SMALLEST_WITH_NUMBER = 40
MARGIN, GAP, NAME_WIDTH, TITLE_HEIGHT, SCALE_WIDTH = 24, 2, 190, 84, 200
PAPER, INK, SOFT, WELL = (255, 255, 255), (28, 28, 26), (99, 99, 94), (237, 237, 234)


def similarity_png(matrix: PictureMatrix) -> bytes:
    """Return the encoded picture: names and pictures at the left, pictures on top, a cell for each pair."""
    count = len(matrix.names)
    cell = next(pixels for most, pixels in CELLS if count <= most)
    left, top = MARGIN + NAME_WIDTH + cell + GAP * 2, MARGIN + TITLE_HEIGHT + cell + GAP * 2
    width = max(left + cell * count + MARGIN, 900)
    image = Image.new("RGB", (width, top + cell * count + MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    _draw_head(draw, matrix, width)
    label = font(min(15, max(11, cell // 3)))
    number = font(min(20, max(12, cell // 4)))
    steps, values = matrix.steps().tolist(), matrix.similarities.tolist()
    for place, name in enumerate(matrix.names):
        x, y = left + place * cell, top + place * cell
        _draw_picture(image, matrix.thumbnails[place], (x, top - cell - GAP * 2), cell)
        _draw_picture(image, matrix.thumbnails[place], (left - cell - GAP * 2, y), cell)
        text = fit_text(name, label, NAME_WIDTH - 10)
        draw.text((left - cell - GAP * 2 - 8, y + cell / 2), text, INK, label, anchor="rm")
        for column, step in enumerate(steps[place]):
            fill, at = colour_of(step), left + column * cell
            draw.rectangle((at, y, at + cell - 1, y + cell - 1), fill)
            if cell >= SMALLEST_WITH_NUMBER:
                shown = shown_similarity(values[place][column])
                draw.text((at + cell / 2, y + cell / 2), shown, ink_on(fill), number, anchor="mm")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def font(pixels: int) -> Font:
    """Return DejaVu Sans, which has many scripts, where the machine has it; else Pillow's own, which has Latin letters."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", pixels)
    except OSError:
        return ImageFont.load_default(pixels)


def fit_text(text: str, its_font: Font, pixels: float) -> str:
    """Return a text in one line of at most so many pixels, cut with an ellipsis."""
    line = " ".join(text.split())
    if its_font.getlength(line) <= pixels:
        return line
    line = line[:400]
    while line and its_font.getlength(line + "…") > pixels:
        line = line[:-1]
    return line.rstrip() + "…"


def _draw_head(draw: ImageDraw.ImageDraw, matrix: PictureMatrix, width: int) -> None:
    room = width - 2 * MARGIN - SCALE_WIDTH - 130
    draw.text((MARGIN, MARGIN), fit_text(matrix.title, font(24), room), INK, font(24))
    draw.text((MARGIN, MARGIN + 36), fit_text(" · ".join(matrix.facts), font(14), room), SOFT, font(14))
    right = width - MARGIN - 20
    for pixel in range(SCALE_WIDTH):
        colour = colour_of(round(pixel / (SCALE_WIDTH - 1) * (STEPS - 1)))
        draw.line((right - SCALE_WIDTH + pixel, MARGIN + 6, right - SCALE_WIDTH + pixel, MARGIN + 22), colour)
    small = font(14)
    lowest = shown_similarity(matrix.lowest)
    draw.text((right - SCALE_WIDTH - 8, MARGIN + 14), lowest, SOFT, small, anchor="rm")
    draw.text((right + 8, MARGIN + 14), "1", SOFT, small, anchor="lm")
    draw.text((right, MARGIN + 44), "cosine similarity", SOFT, small, anchor="rm")


def _draw_picture(image: Image.Image, picture: bytes | str, at: tuple[int, int], cell: int) -> None:
    """Draw a thumbnail, or a box with a question mark where there is none."""
    draw, side = ImageDraw.Draw(image), cell - GAP
    draw.rectangle((*at, at[0] + side - 1, at[1] + side - 1), WELL)
    if isinstance(picture, str):
        draw.rectangle((*at, at[0] + side - 1, at[1] + side - 1), outline=SOFT)
        draw.text((at[0] + side / 2, at[1] + side / 2), "?", SOFT, font(max(12, cell // 3)), anchor="mm")
        return
    with Image.open(io.BytesIO(picture), formats=["JPEG"]) as opened:  # `thumbnail` has made it
        opened.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.paste(opened, (at[0] + (side - opened.width) // 2, at[1] + (side - opened.height) // 2))
