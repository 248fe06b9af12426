import numpy as np
import pytest

from imgvec_pg.demo.measures import Question, find_questions, hit_rate, is_seen, overlap_hit_rate
from imgvec_pg.demo.pictures import Picture


def picture(codepoints: str, name: str, *keywords: str) -> Picture:
    return Picture(f"{codepoints}.webp", name, codepoints, "Objects", "tool", keywords)


PICTURES = [
    picture("2764-FE0F", "red heart", "love"),
    picture("1F528", "hammer", "tool"),
    picture("1F529", "bolt", "tool"),
]


def test_questions_point_to_pictures_whatever_the_variation_selector() -> None:
    entries = [{"query": "a", "relevant": ["2764", "1F999"]}, {"query": "b", "relevant": ["1F999"]}]
    assert find_questions(entries, PICTURES) == [Question("a", frozenset({0}))]


def test_hit_rate_counts_queries_with_a_right_picture_among_the_nearest() -> None:
    images = np.eye(3, dtype=np.float32)
    queries = np.array([[0.9, 0.4, 0.1], [0.1, 0.2, 0.9]], dtype=np.float32)
    relevant = [frozenset({1}), frozenset({2})]
    assert hit_rate(queries, images, relevant, 1) == 0.5
    assert hit_rate(queries, images, relevant, 2) == 1.0


def test_word_overlap_shares_ties_evenly() -> None:
    assert overlap_hit_rate([Question("a tool", frozenset({1}))], PICTURES, 1) == pytest.approx(0.5)
    assert overlap_hit_rate([Question("bolts", frozenset({2}))], PICTURES, 1) == 1.0
    assert overlap_hit_rate([Question("screw", frozenset({2}))], PICTURES, 1) == 0.0


def test_seen_means_every_word_stands_in_a_name_or_keyword() -> None:
    assert is_seen("love hammer", PICTURES)
    assert not is_seen("hammers", PICTURES)
