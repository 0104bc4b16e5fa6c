"""
What the tests of boards share: two witnesses that live in a board's page and know nothing of its script.

``GLASS`` looks at every frame and writes down which call stands there from when to when, in which words, and who takes
the stage.
``RECORDER`` writes down every sound that the browser is told to play, of which call it is, and when it began and ended.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from playwright.sync_api import Page

from browser_world import Hall

GLASS = """(() => {
  const glass = { stood: [], stage: [], seen: new Set() };
  window.glass = glass;
  const standing = new Map();
  let frame = 0, turn = "";
  const isSeen = (one) => {
    const box = one.getBoundingClientRect();
    const isInside = box.width && box.left >= -1 && box.right <= innerWidth + 1 && box.bottom <= innerHeight + 1;
    return isInside && one.checkVisibility();
  };
  const look = () => {
    frame += 1;
    const calls = [...document.querySelectorAll("[data-call]")].filter(isSeen);
    const now = new Set(calls.map((one) => Number(one.dataset.call)));
    for (const one of calls) {
      const call = Number(one.dataset.call);
      if (standing.has(call)) continue;
      const stood = { call, frame, at: Date.now(), until: null, words: one.innerText.split(/\\s+/) };
      standing.set(call, stood);
      glass.stood.push(stood);
      glass.seen.add(call);
    }
    for (const [call, stood] of standing) {
      if (now.has(call)) continue;
      stood.until = Date.now();
      standing.delete(call);
    }
    const on = document.querySelector(".stage [data-call]")?.dataset.call ?? "";
    if (on && on !== turn) glass.stage.push(Number(on));
    turn = on;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();"""

RECORDER = """(() => {
  window.played = []; window.rung = []; window.asked = [];
  const ring = new WeakMap();
  const at = (context, when) => performance.timeOrigin + performance.now()
    + Math.max(0, when - context.currentTime) * 1000;
  const fetched = window.fetch;
  window.fetch = async (address, options) => {
    const sound = /\\/sounds\\/([0-9]+)-/.exec(String(address));
    if (sound) window.asked.push(Number(sound[1]));
    const answer = await fetched(address, options);
    if (sound) {
      const content = answer.arrayBuffer.bind(answer);
      answer.arrayBuffer = async () => {
        const bytes = await content();
        ring.set(bytes, Number(sound[1]));
        return bytes;
      };
    }
    return answer;
  };
  const decode = BaseAudioContext.prototype.decodeAudioData;
  BaseAudioContext.prototype.decodeAudioData = async function (bytes) {
    const seq = ring.get(bytes), words = await decode.call(this, bytes);
    ring.set(words, seq);
    return words;
  };
  const begin = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when) {
    const loudest = this.buffer.getChannelData(0).reduce((most, one) => Math.max(most, Math.abs(one)), 0);
    const one = { seq: ring.get(this.buffer), at: at(this.context, when), ms: this.buffer.duration * 1000, loudest };
    this.addEventListener("ended", () => (one.isOver = true));
    window.played.push(one);
    return begin.call(this, when);
  };
  const tone = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (when) {
    window.rung.push(at(this.context, when));
    return tone.call(this, when);
  };
})();"""
TONES_OF_A_CHIME = 4
SPEECH_S = 40.0


class Spoken(NamedTuple):
    """One sound: of which ring, from and to when."""

    seq: int
    at: float
    until: float


def spoken(page: Page) -> list[Spoken]:
    """What the page has played, in order; every sound can be heard."""
    played: list[dict[str, Any]] = page.evaluate("played")
    assert all(0.2 < one["loudest"] < 1 for one in played)
    return [Spoken(one["seq"], one["at"], one["at"] + one["ms"]) for one in played]


def chimes(page: Page) -> list[float]:
    """When each chime began."""
    rung: list[float] = page.evaluate("rung")
    return rung[::TONES_OF_A_CHIME]


def until(page: Page, claim: str, deadline_s: float = SPEECH_S) -> None:
    """Await a state of the page's script, with a deadline; its content policy forbids to wait inside of it."""
    end_s = time.monotonic() + deadline_s
    while not page.evaluate(claim):
        assert time.monotonic() < end_s, f"not reached: {claim}; {page.evaluate('[window.played, window.rung]')}"
        page.wait_for_timeout(50)


def await_played(page: Page, count: int) -> list[Spoken]:
    until(page, f"played.length >= {count}")
    return spoken(page)[:count]


def rings_of(hall: Hall, kind: str) -> list[int]:
    """Numbers of the events of a kind."""
    return [event["seq"] for event in hall.events() if event["type"] == kind]
