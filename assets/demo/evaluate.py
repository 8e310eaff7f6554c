#!/usr/bin/env python3
"""Measure the demo model's perplexity as llama-perplexity does, beside that of counted tokens and pairs.

Each text is cut into chunks of 512 tokens and the second half of each is scored. The bigram model
interpolates by Kneser and Ney's method; its one constant is chosen on the measured text, which favours it.

Needs PyTorch, numpy and tokenizers.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from train import WINDOW, Llama, Shape


def model_losses(model: Llama, chunks: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of each scored token, in nats, [chunks, WINDOW / 2 - 1]."""
    found = []
    with torch.no_grad():
        for part in torch.from_numpy(chunks).split(4):
            logits = model(part)[:, WINDOW // 2 : -1]
            target = part[:, WINDOW // 2 + 1 :]
            found.append(cross_entropy(logits.transpose(1, 2), target, reduction="none").double().numpy())
    return np.concatenate(found)


def unigram_loss(train: np.ndarray, chunks: np.ndarray, words: int) -> float:
    """Return the mean loss of guessing by each token's share of the training text, plus one count."""
    counts = np.bincount(train, minlength=words) + 1.0
    return float(-np.log(counts / counts.sum())[chunks[:, WINDOW // 2 + 1 :]].mean())


def bigram_loss(train: np.ndarray, chunks: np.ndarray, words: int) -> float:
    """Return the mean loss of an interpolated Kneser-Ney bigram model with the best discount."""
    pairs = np.bincount(train[:-1].astype(np.int64) * words + train[1:], minlength=words * words).reshape(
        words, words
    )
    kinds_after = (pairs > 0).sum(1)
    kinds_before = (pairs > 0).sum(0) + 0.5
    fallback = kinds_before / kinds_before.sum()
    before, after = chunks[:, WINDOW // 2 : -1].ravel(), chunks[:, WINDOW // 2 + 1 :].ravel()
    total = np.maximum(pairs.sum(1), 1)[before]
    best = math.inf
    for discount in np.linspace(0.3, 0.99, 24):
        chance = np.maximum(pairs[before, after] - discount, 0) / total
        chance += discount * np.maximum(kinds_after, 1)[before] / total * fallback[after]
        best = min(best, float(-np.log(chance).mean()))
    return best


def measure(model: Llama, tokenizer: Tokenizer, train: np.ndarray, text: str, limit: int) -> dict[str, float]:
    """Return perplexities per token, and the model's per byte, on `limit` chunks of a text (0: all)."""
    ids = np.array(tokenizer.encode(text).ids, np.int64)
    chunks = ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)[: limit or None]
    losses = model_losses(model, chunks)
    scored = chunks[:, WINDOW // 2 + 1 :]
    length = np.array([len(tokenizer.id_to_token(i) or "") for i in range(tokenizer.get_vocab_size())])
    error = losses.std() / math.sqrt(losses.size - 1)
    return {
        "chunks": len(chunks),
        "bytes_per_token": float(length[scored].mean()),
        "ppl": math.exp(losses.mean()),
        "ppl_error": math.exp(losses.mean()) * error,
        "ppl_per_byte": math.exp(losses.sum() / length[scored].sum()),
        "bits_per_byte": losses.sum() / length[scored].sum() / math.log(2),
        "bigram_ppl": math.exp(bigram_loss(train, chunks, tokenizer.get_vocab_size())),
        "unigram_ppl": math.exp(unigram_loss(train, chunks, tokenizer.get_vocab_size())),
    }


def main() -> None:
    """Print the numbers for the held-out text and for pydoc_data.topics as JSON."""
    import pydoc_data.topics

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("work"), help="folder of the training run (default: work)"
    )
    parser.add_argument("--name", default="checkpoint", help="name of the checkpoint in that folder")
    parser.add_argument("--chunks", type=int, default=0, help="chunks of each text (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    state = torch.load(options.work / f"{options.name}.pt", map_location="cpu")
    model = Llama(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    tokenizer = Tokenizer.from_file(str(options.work / "tokenizer.json"))
    train = np.load(options.work / "train.npy")
    topics = pydoc_data.topics.topics
    texts = {
        "held_out": (options.work / "held_out.txt").read_text(encoding="utf-8"),
        "pydoc_topics": "\n\n".join(topics[name] for name in sorted(topics)),
    }
    for name, text in texts.items():
        print(
            json.dumps({name: measure(model, tokenizer, train, text, options.chunks)}, indent=1), flush=True
        )


if __name__ == "__main__":
    main()
