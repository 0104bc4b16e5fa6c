"""A synthesiser that speaks in tones, and does harm when the text says so."""

from __future__ import annotations

import sys
from pathlib import Path

CHILD = """
import json, os, sys, time
sys.path[:0] = {path!r}
from array import array
from displays import sound
from displays.synthesiser import render
out = sys.stdout.buffer
out.write(json.dumps({{"engine": {engine!r}, "why": {why!r}}}).encode() + b"\\n"); out.flush()
for line in sys.stdin.buffer:
    parts = json.loads(line)
    text = parts[0].get("text", "")
    if "hang" in text: time.sleep(600)
    if text == "crash": os._exit(1)
    if text == "half": out.write(b'{{"bytes": 5000}}\\nRIFF'); out.flush(); os._exit(1)
    if text == "nonsense": out.write(b"Speech!\\n"); out.flush(); continue
    if text == "huge": out.write(b'{{"bytes": 900000000}}\\n'); out.flush(); continue
    content = render(parts, (lambda text, voice, rate: array("h", [9000, -9000] * 4000)) if {engine!r} else None)
    out.write(json.dumps({{"bytes": len(content)}}).encode() + b"\\n" + content); out.flush()
"""


def a_synthesiser(folder: Path, *, engine: str | None = "fake 1") -> list[str]:
    """A program in the place of ours; without an *engine* it only joins recordings."""
    file = folder / "child.py"
    why = "" if engine else "nothing is installed"
    file.write_text(CHILD.format(path=sys.path, engine=engine, why=why), "utf-8")
    return [sys.executable, str(file)]
