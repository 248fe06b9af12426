"""Train the demo's model from the shipped pictures: `python -m tools.demo_model.train --out DIR`.

Resumable: a checkpoint is written every few epochs, and a second run with the same folder continues from it
to the same result. Needs neither a network nor a GPU; about an hour on two CPU cores.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from imgvec_pg.demo.pictures import load_images, read_manifest
from tools.demo_model.modelfolder import MERGES_NAME, export_model
from tools.demo_model.trainer import Trainer, TrainingOptions
from tools.demo_model.trainingdata import prepare_data


def read_excluded(path: Path | None) -> list[str]:
    """Read held-out queries, only to keep them out of captions."""
    if path is None:
        return []
    return [entry["query"] for entry in json.loads(path.read_text(encoding="utf-8"))]


def run(
    options: TrainingOptions, out: Path, excluded: list[str], limit: int | None, merges: int, every: int
) -> str:
    """Train to the end, from the last checkpoint in `out` if there is one; return the weights' SHA-256."""
    pictures = read_manifest()[:limit]
    data = prepare_data(pictures, load_images(pictures), excluded, merges, out)
    trainer = Trainer(data, options)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"continuing after epoch {trainer.epoch}", flush=True)
    started = time.monotonic()
    while trainer.epoch < options.epochs:
        losses = " ".join(f"{loss:.3f}" for loss in trainer.train_epoch())
        scale = float(trainer.model.logit_scale.detach().exp())
        seconds = time.monotonic() - started
        print(f"epoch {trainer.epoch} losses {losses} scale {scale:.1f} {seconds:.0f} s", flush=True)
        if trainer.epoch % every == 0 or trainer.epoch == options.epochs:
            trainer.save(checkpoint)
    return export_model(trainer.finish(), out / MERGES_NAME, data.tokenizer.vocabulary_size, out / "model")


def main() -> None:
    """Parse the command line and train."""
    defaults = TrainingOptions()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoint, merges and the model/ folder"
    )
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument(
        "--word-steps", type=int, default=defaults.word_steps, help="last steps, of words alone"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--merges", type=int, default=4000)
    parser.add_argument("--limit", type=int, help="only the first so many pictures, for a trial")
    parser.add_argument(
        "--exclude", type=Path, help="JSON list of held-out queries that no caption may contain"
    )
    parser.add_argument("--checkpoint-every", type=int, default=5, metavar="EPOCHS")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's own choice without")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = TrainingOptions(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        word_steps=arguments.word_steps,
        seed=arguments.seed,
    )
    excluded = read_excluded(arguments.exclude)
    sha256 = run(
        options, arguments.out, excluded, arguments.limit, arguments.merges, arguments.checkpoint_every
    )
    print(f"{arguments.out / 'model'}: SHA-256 of the weights {sha256}")


if __name__ == "__main__":
    main()
