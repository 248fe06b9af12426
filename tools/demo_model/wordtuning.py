"""The last part of training: the text tower alone, against the finished embeddings of all pictures.

A step of it costs a tenth of a step of both towers, so it sees many more captions in the same time.
"""

import math
import random
from typing import Any

import torch
from torch import Tensor

from tools.demo_model.losses import Average, words_to_pictures
from tools.demo_model.modelfolder import encode_tokens
from tools.demo_model.trainingdata import TrainingData

CAPTIONS_PER_STEP = 256
LEARNING_RATE = 1e-3
VISUAL_PREFIX = "visual."


def tune_words(
    model: Any,  # noqa: ANN401 - open_clip is untyped
    data: TrainingData,
    bank: Tensor,
    steps: int,
    seed: int,
) -> None:
    """Train the text tower of `model` in place; the picture tower and the temperature stay.

    Args:
        model: The model after the training of both towers.
        data: Pictures and captions.
        bank: Shape (n, dimensions): the model's embeddings of all pictures, unchanged; rows of norm 1.
        steps: How many batches of captions.
        seed: Decides all chance.
    """
    rng = random.Random(seed)  # noqa: S311
    scale = model.logit_scale.detach().exp()
    weights = {
        name: parameter
        for name, parameter in model.named_parameters()
        if not name.startswith(VISUAL_PREFIX) and name != "logit_scale"
    }
    # After warming up, a cosine takes the rate to 0.
    optimizer = torch.optim.AdamW(weights.values(), lr=LEARNING_RATE, weight_decay=0.02)
    average = Average(weights, decay=0.995)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                LEARNING_RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        indices = rng.choices(range(len(data.pictures)), k=CAPTIONS_PER_STEP)
        tokens, answers = data.captions_for(indices, 1, rng)
        loss = words_to_pictures(encode_tokens(model, tokens), bank, answers, scale)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights.values(), 2.0)
        optimizer.step()
        average.update(weights, step)
        if step % 100 == 99:
            print(f"words, step {step + 1} loss {float(loss.detach()):.3f}", flush=True)
    model.load_state_dict(average.state, strict=False)
