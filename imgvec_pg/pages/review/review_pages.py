"""Pages of `imgvec browse` to review near-duplicates: one group at a time, what differs in it, one key for each decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates import review
from imgvec_pg.errors import ImageError, ImgvecError, UsageError
from imgvec_pg.flask.request_search import key_in_url, status_of
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.pages.page_context import PageContext
from imgvec_pg.search.formatting import show_value
from imgvec_pg.search.images import read_pictures
from imgvec_pg.store.collection import Collection

SHOWN = 24
"""Members of one group that are shown; a decision is about all of them."""
WORDS = {"same": "same", "keep_both": "keep all", "not_the_same": "not the same", "ignore": "ignore"}
CHOICES = (
    ("s", "same", "Same", "one picture: the statement below may delete all but the keeper"),
    ("k", "keep_both", "Keep all", "one picture, and every row stays"),
    ("n", "not_the_same", "Not the same", "they only look alike"),
    ("i", "ignore", "Ignore", "do not ask again"),
)
"""Key, decision, what it is called, what it means."""


@dataclass(frozen=True)
class Card:
    """A member as the page shows it: of its values only those in which the group differs."""

    key: str
    is_keeper: bool
    reason: str
    values: Mapping[str, str]


def review_blueprint(context: PageContext) -> Blueprint:
    """Make the pages, which write nothing but decisions.

    GET /: the group ?group=N, else the first open one behind ?after=N. POST /: decide about one. A decision names the state
    that its page showed, which nobody knows who did not see that page: another site's form cannot decide.
    """
    made = Blueprint("review", __name__, template_folder="templates", static_folder="static")

    @made.get("/")
    def page() -> ResponseReturnValue:
        return _page(context.session(), context, _number("group"), _number("after") or 0)

    @made.post("/")
    def decide() -> ResponseReturnValue:
        group, decision = _number("group"), request.form.get("decision", "")
        with context.writing() as connection:
            try:
                if group is None:
                    raise UsageError("no group is named; expected group=NUMBER")
                seen = request.form.get("seen", "")
                state = review.decide_group(connection, context.find(), group, decision or None, seen)
            except ImgvecError as error:
                status = 409 if isinstance(error, review.DecidedMeanwhileError) else status_of(error)
                return _page(connection, context, group, 0, str(error)), status
        if not decision:
            return redirect(url_for(".page", group=group), 303)
        return redirect(url_for(".page", after=group, done=group, decision=decision, state=state.digest), 303)

    return made


def _page(
    connection: Connection, context: PageContext, group: int | None, after: int, problem: str = ""
) -> str:
    state, open_groups, hidden = None, 0, 0
    cards: list[Card] = []
    same: dict[str, str] = {}
    collection = context.find()
    try:
        first, open_groups = review.next_question(connection, collection, after)
        group = first if group is None else group
        if group is not None:
            # Before the members: what is decided between both statements is then told, not overwritten.
            state = review.group_state(connection, collection, group)
            members = review.read_members(connection, collection, group, context.columns())
            cards, same = _cards(connection, collection, members[:SHOWN], context.root)
            hidden = len(members) - len(cards)
    except ImgvecError as error:
        problem = problem or str(error)
    return render_template(
        "review/review.html",
        collection=collection,
        group=group,
        state=state,
        cards=cards,
        same=same,
        hidden=hidden,
        open_groups=open_groups,
        counted=review.COUNTED,
        choices=CHOICES,
        words=WORDS,
        problem=problem,
        deletion=review.deletion_of_decided(collection),
    )


def _number(name: str) -> int | None:
    """Return a parameter that numbers a group; None where it is none."""
    text = request.values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _cards(
    connection: Connection, collection: Collection, members: Sequence[review.Member], root: Path | None
) -> tuple[list[Card], dict[str, str]]:
    """Return the members with what differs between them, and what is the same in all."""
    pictures = read_pictures(connection, collection, [member.key for member in members], root)
    values = [
        {
            **_facts(picture, collection),
            **{name: show_value(value) or "–" for name, value in member.columns.items()},
        }
        for member, picture in zip(members, pictures, strict=True)
    ]
    names = list(dict.fromkeys(name for found in values for name in found))
    same = [name for name in names if len({found.get(name) for found in values}) == 1]
    cards = [
        Card(
            key_in_url(member.key),
            member.is_keeper,
            member.reason,
            {
                "distance": "0 (the keeper)" if member.is_keeper else f"{max(member.distance, 0):.4f}",
                **{name: found[name] for name in names if name in found and name not in same},
            },
        )
        for member, found in zip(members, values, strict=True)
    ]
    return cards, {name: values[0][name] for name in same} if values else {}


def _facts(picture: bytes | ImageError, collection: Collection) -> dict[str, Any]:
    """Return how large a picture is, in bytes and once decoded in pixels, or why it cannot be shown."""
    if isinstance(picture, ImageError):
        return {"picture": str(picture)}
    try:
        width, height = decode_sandboxed(picture, bands=collection.bands).size
    except ImageError as error:
        return {"file bytes": f"{len(picture):,}", "picture": str(error)}
    return {"file bytes": f"{len(picture):,}", "pixels": f"{width:,} × {height:,}"}
