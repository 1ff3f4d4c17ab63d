"""A CLIP tokenizer small enough to be written by hand."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

WORDS = ("red", "blue", "dog", "cat", "photo")


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer that knows single letters and a few words."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges = list(dict.fromkeys(pair for word in WORDS for pair in _merges(word)))
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: code for code, piece in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 16}))
    return CLIPTokenizer.from_pretrained(folder)


def _merges(word: str) -> list[tuple[str, str]]:
    pieces = [*word[:-1], f"{word[-1]}</w>"]
    pairs = []
    while len(pieces) > 1:
        pairs.append((pieces[0], pieces[1]))
        pieces[:2] = [pieces[0] + pieces[1]]
    return pairs
