import random

import numpy as np
import pytest

from imgvec_pg.demo.pictures import DemoPicture, read_manifest
from tools.demo_model.captions import CaptionSampler
from tools.demo_model.words import content_words, singular


def fruit(name: str, *keywords: str) -> DemoPicture:
    return DemoPicture(f"{name}.webp", name, name, "Food & Drink", "food-fruit", keywords)


FRUITS = [
    fruit("red apple", "fruit", "red"),
    fruit("cherries", "fruit", "red"),
    fruit("lemon", "fruit", "sour"),
]


@pytest.mark.parametrize(
    ("word", "expected"), [("berries", "berry"), ("cats", "cat"), ("glass", "glass"), ("bus", "bus")]
)
def test_singular_cuts_plurals_only(word: str, expected: str) -> None:
    assert singular(word) == expected


def test_content_words_leave_out_what_says_nothing() -> None:
    assert content_words("a bowl of the Cherries") == {"bowl", "cherry"}


def test_every_picture_with_all_required_words_is_an_answer() -> None:
    sampler = CaptionSampler(FRUITS)
    rng = random.Random(1)
    captions = [sampler.sample(0, rng) for _ in range(300)]
    red = [c for c in captions if c.text == "red"]
    assert red
    np.testing.assert_allclose(red[0].answers, [0.5, 0.5, 0.0])
    assert all(c.answers[0] > 0 and abs(c.answers.sum() - 1) < 1e-5 for c in captions)


def test_own_name_weighs_more_than_other_answers() -> None:
    pictures = [fruit("apple", "fruit"), fruit("apple pie", "fruit")]
    sampler = CaptionSampler(pictures)
    rng = random.Random(1)
    answers = [c.answers for c in (sampler.sample(0, rng) for _ in range(200)) if c.text == "apple"]
    assert max(a[0] for a in answers) == pytest.approx(0.8)


def test_no_caption_contains_an_excluded_query() -> None:
    excluded = ["red fruit", "Apple,  red"]
    sampler = CaptionSampler(FRUITS, excluded=excluded)
    rng = random.Random(2)
    texts = [sampler.sample(0, rng).text for _ in range(3000)]
    assert not [t for t in texts if "red fruit" in t or "apple red" in t.replace(",", "")]
    assert sampler.is_excluded("a photo of Red  Fruits")


def test_a_picture_whose_every_wording_is_excluded_still_gets_a_caption() -> None:
    sampler = CaptionSampler(FRUITS, excluded=["e", "i"])
    assert sampler.sample(0, random.Random(0)).text == "food & drink"


def test_captions_repeat_with_the_same_seed() -> None:
    sampler = CaptionSampler(read_manifest()[:50])
    runs = [[sampler.sample(i, rng).text for i in range(50)] for rng in (random.Random(7), random.Random(7))]
    assert runs[0] == runs[1]
