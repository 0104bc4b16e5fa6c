"""
A centre's own recordings: a folder with a manifest that says which file holds which words.

A phrase is spoken from recordings when all of its pieces are there; with one missing, the synthesiser says the whole
phrase, because two voices in one sentence are worse than either.  Fed by the data folder, feeds `voice.py`; the format
is in docs/voice.md.
"""

from __future__ import annotations

import hashlib
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from displays import sound
from displays.speech import PAUSE, Said

MANIFEST: Final = "clips.toml"
SHORTEST_MS: Final = 40
CUT_SAMPLES: Final = 8
"""So many samples at full scale mean that the recording was too loud."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `clips.toml`."""

    name: Annotated[str, Meta(min_length=1, max_length=120)]
    clips: dict[str, dict[str, str]]
    """Language -> words -> file."""
    gap_ms: Annotated[int, Meta(ge=0, le=500)] = 40
    pause_ms: Annotated[int, Meta(ge=0, le=2_000)] = 280


@dataclass(frozen=True)
class Clip:
    """One good recording."""

    path: Path
    digest: str


@dataclass(frozen=True)
class ClipPack:
    """The recordings of a folder that can be used, and what is wrong with the others."""

    name: str
    clips: Mapping[tuple[str, str], Clip]
    faults: tuple[str, ...]
    gap_ms: int = 0
    pause_ms: int = 0

    def missing(self, said: Said) -> list[str]:
        """The pieces of *said* that nobody has recorded."""
        return [piece for piece in said.pieces if piece != PAUSE and (said.language, piece) not in self.clips]

    def parts(self, said: Said) -> list[Clip | int]:
        """*said* as recordings and silences in milliseconds; nothing of it is missing."""
        parts: list[Clip | int] = []
        for piece in said.pieces:
            if piece == PAUSE:
                parts.append(self.pause_ms)
            else:
                parts += [self.clips[said.language, piece], self.gap_ms]
        return parts


NO_CLIPS: Final = ClipPack("", {}, ())


def load_clips(folder: Path) -> ClipPack:
    """The recordings of *folder*; whatever is wrong is a sentence in `faults`, never an exception."""
    try:
        text = (folder / MANIFEST).read_text("utf-8-sig")
        manifest = msgspec.convert(tomllib.loads(unicodedata.normalize("NFC", text)), Manifest)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, not TOML, another shape
        return ClipPack("", {}, (f"{folder / MANIFEST}: {error}",))
    clips: dict[tuple[str, str], Clip] = {}
    faults = []
    for language, words in manifest.clips.items():
        for piece, name in words.items():
            try:
                clips[language, piece] = _clip(folder, name)
            except (OSError, ValueError) as error:
                faults.append(f"{language} “{piece}”: {name} {error}")
    return ClipPack(manifest.name, clips, tuple(faults), manifest.gap_ms, manifest.pause_ms)


def _clip(folder: Path, name: str) -> Clip:
    """
    The recording called *name*.

    Raises:
        ValueError: it lies elsewhere, or is nothing that can be played.
        OSError: it cannot be read.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError("lies outside of the folder")
    content = path.read_bytes()
    samples = sound.read_wav(content)
    if sound.length_ms(samples) < SHORTEST_MS:
        raise ValueError(f"is shorter than {SHORTEST_MS} ms")
    if not sound.rms(samples):
        raise ValueError("is silent")
    if sum(abs(sample) >= 32_767 for sample in samples) >= CUT_SAMPLES:
        raise ValueError("was recorded too loud: its peaks are cut")
    return Clip(path, hashlib.sha256(content).hexdigest())
