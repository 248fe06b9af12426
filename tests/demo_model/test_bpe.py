import random
from pathlib import Path

from imgvec_pg.demo.pictures import read_manifest
from imgvec_pg.embedding.runtime import import_open_clip
from tools.demo_model.bpe import DropoutTokenizer, count_words, learn_merges, write_merges


def test_frequent_words_become_one_piece_and_unknown_ones_fall_apart() -> None:
    tokenizer = DropoutTokenizer(learn_merges(count_words(["red apple"] * 9 + ["rat"]), 100), dropout=0)
    assert len(tokenizer.encode("red apple")) == 4
    assert len(tokenizer.encode("grapple")) > 3


def test_tokens_equal_those_of_open_clip(tmp_path: Path) -> None:
    texts = [text for p in read_manifest() for text in (p.name, *p.keywords)]
    merges = learn_merges(count_words(texts), 1500)
    write_merges(merges, tmp_path / "merges.gz")
    theirs = import_open_clip().SimpleTokenizer(bpe_path=str(tmp_path / "merges.gz"), context_length=24)
    ours = DropoutTokenizer(merges, dropout=0)
    assert ours.vocabulary_size == theirs.vocab_size == 512 + 1500 + 2
    for text in [*texts, "never seen: quetzalcoatl's 1,024 ñandúes!"]:
        assert ours.encode(text)[1:-1] == theirs.encode(text), text
    assert (ours.start, ours.end) == (theirs.sot_token_id, theirs.eot_token_id)


def test_dropout_cuts_words_in_more_pieces_at_times() -> None:
    tokenizer = DropoutTokenizer(learn_merges(count_words(["strawberry"] * 5), 100), dropout=1.0)
    rng = random.Random(0)
    assert len({len(tokenizer.encode("strawberry", rng)) for _ in range(50)}) > 2
    assert len(tokenizer.encode("strawberry")) == 3
