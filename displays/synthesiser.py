"""
The process that makes sounds: `python -m displays.synthesiser`, started and watched by `synthesis.py`.

It reads one request a line from standard input and answers each on standard output: a line of JSON, then the bytes of a
WAV file.  espeak-ng lives here and nowhere else: its licence is another one than ours, and whatever it does, the hall
goes on.  Without it, recordings are still joined.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import json
import os
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from displays import sound

NORMAL_WPM: Final = 175
"""espeak-ng's own rate, in words a minute."""
NICENESS: Final = 5
RETRIEVE: Final = 1
"""espeak_AUDIO_OUTPUT.AUDIO_OUTPUT_RETRIEVAL: samples come to our callback."""
SYNCHRONOUS_OFF_EXIT: Final = 0x8000
"""espeakINITIALIZE_DONT_EXIT: a missing data folder is an answer, not the end of the process."""
PARAMETER_RATE: Final = 1
PARAMETER_VOLUME: Final = 2
SOFTER: Final = 60
"""Of espeak-ng's 100, at which it cuts peaks; levels are made even later."""
CHARACTERS_UTF8: Final = 1
BY_CHARACTER: Final = 1

Speak = Callable[[str, str, float], "array[int]"]
"""Text, voice, rate -> samples."""


class Espeak:
    """espeak-ng through its C interface."""

    def __init__(self) -> None:
        library, data = _espeak_files()
        self._library = ctypes.CDLL(library)
        version = self._library.espeak_Info
        version.restype = ctypes.c_char_p
        rate = self._library.espeak_Initialize(RETRIEVE, 0, data, SYNCHRONOUS_OFF_EXIT)
        if rate != sound.RATE:
            raise OSError(f"espeak-ng does not start ({rate})")
        self.name = f"espeak-ng {version(None).decode().split()[0]}"
        self._taken: list[bytes] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._take = kind(self._taking)  # kept: espeak-ng holds only its address
        self._library.espeak_SetSynthCallback(self._take)
        self._library.espeak_SetParameter(PARAMETER_VOLUME, SOFTER, 0)

    def __call__(self, text: str, voice: str, rate: float) -> array[int]:
        """Speak *text*."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise sound.FaultySound(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(PARAMETER_RATE, round(NORMAL_WPM * rate), 0)
        self._taken.clear()
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, BY_CHARACTER, 0, CHARACTERS_UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = array("h")
        samples.frombytes(b"".join(self._taken))
        return samples

    def _taking(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._taken.append(ctypes.string_at(samples, count * 2))
        return 0


def _espeak_files() -> tuple[str, bytes | None]:
    """The library and its data: those of the `voice` extra, else the system's."""
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader  # an extra: it may be missing

        return espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()
    found = ctypes.util.find_library("espeak-ng")
    if found is None:
        raise OSError("the extra `voice` is not installed")
    return found, None


def render(parts: Sequence[Mapping[str, Any]], speak: Speak | None) -> bytes:
    """
    The parts of a sound, one after another, as a WAV file.

    Args:
        parts: each `{text, voice, rate}`, `{clip}` (a file) or `{pause}` (milliseconds).

    Raises:
        FaultySound: one of them cannot be made.
        OSError: a recording cannot be read.
    """
    out = array("h")
    for part in parts:
        if "pause" in part:
            out.extend(sound.silence(part["pause"]))
        elif "clip" in part:
            out.extend(sound.levelled(sound.trimmed(sound.read_wav(Path(part["clip"]).read_bytes()))))
        elif speak is None:
            raise sound.FaultySound("no synthesiser is installed")
        else:
            out.extend(sound.levelled(sound.trimmed(speak(part["text"], part["voice"], part["rate"]))))
    if sound.length_ms(out) > sound.LONGEST_MS:
        raise sound.FaultySound(f"is longer than {sound.LONGEST_MS // 1000} seconds")
    return sound.wav(out)


def serve(requests: BinaryIO, answers: BinaryIO, speak: Speak | None) -> None:
    """Answer every request until there are no more."""
    for line in requests:
        try:
            content = render(json.loads(line), speak)
            head: dict[str, Any] = {"bytes": len(content)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            content, head = b"", {"error": str(error)}
        answers.write(json.dumps(head).encode() + b"\n" + content)
        answers.flush()


def main() -> None:
    """Say what can speak, then serve."""
    with suppress(OSError):
        os.nice(NICENESS)
    espeak: Espeak | None = None
    hello: dict[str, Any] = {"engine": None, "why": ""}
    try:
        espeak = Espeak()
        hello["engine"] = espeak.name
    except (OSError, AttributeError) as error:
        hello["why"] = str(error)
    sys.stdout.buffer.write(json.dumps(hello).encode() + b"\n")
    sys.stdout.buffer.flush()
    serve(sys.stdin.buffer, sys.stdout.buffer, espeak)


if __name__ == "__main__":
    main()
