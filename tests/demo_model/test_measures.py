import numpy as np
import pytest

from imgvec_pg.demo.pictures import DemoPicture
from tools.demo_model.evaluate import split_by_words
from tools.demo_model.measures import (
    LabeledQuery,
    find_questions,
    hit_rate,
    overlap_hit_rate,
    rank_among,
    simple_words,
)


def picture(codepoints: str, name: str, *keywords: str) -> DemoPicture:
    return DemoPicture(f"{codepoints}.webp", name, codepoints, "Objects", "tool", keywords)


PICTURES = [
    picture("2764-FE0F", "red heart", "love"),
    picture("1F528", "hammer", "tool"),
    picture("1F529", "bolt", "tool"),
]


def test_questions_point_to_pictures_whatever_the_variation_selector() -> None:
    entries = [{"query": "a", "relevant": ["2764", "1F999"]}, {"query": "b", "relevant": ["1F999"]}]
    assert find_questions(entries, PICTURES) == [LabeledQuery("a", frozenset({0}))]


def test_hit_rate_counts_queries_with_a_right_picture_among_the_nearest() -> None:
    images = np.eye(3, dtype=np.float32)
    queries = np.array([[0.9, 0.4, 0.1], [0.1, 0.2, 0.9]], dtype=np.float32)
    relevant = [frozenset({1}), frozenset({2})]
    nearest = rank_among(images)(queries, 2)
    assert hit_rate(nearest, relevant, 1) == 0.5
    assert hit_rate(nearest, relevant, 2) == 1.0


def test_word_overlap_shares_ties_evenly() -> None:
    assert overlap_hit_rate([LabeledQuery("a tool", frozenset({1}))], PICTURES, 1) == pytest.approx(0.5)
    assert overlap_hit_rate([LabeledQuery("bolts", frozenset({2}))], PICTURES, 1) == 1.0
    assert overlap_hit_rate([LabeledQuery("screw", frozenset({2}))], PICTURES, 1) == 0.0


def test_simple_words_are_those_of_the_held_out_file() -> None:
    assert simple_words("T-Rex's egg", "2 eggs") == {"t", "rex", "s", "egg", "2", "eggs"}


def test_questions_are_sorted_by_where_their_words_occur() -> None:
    asked = [
        LabeledQuery(query, frozenset({0})) for query in ("love hammer", "hammers and love", "a purple tool")
    ]
    groups = split_by_words(asked, PICTURES)
    assert [[question.query for question in group] for group in groups.values()] == [
        ["love hammer"],
        ["a purple tool"],
        ["hammers and love"],
    ]
