/**
 * Keys of the counter, by where they sit on the keyboard: Vietnamese input methods rewrite letters, so no letter is ever a key, and what is being
 * composed is left alone. A keypad of five keys (Enter + − * /) with digits does everything; "/" is also where laptops have it. F1 F3 F5 F6 F7 F11 F12
 * belong to the browser.
 */
import type { Action } from "./actions";

export type KeyWish =
  | { kind: "primary" }
  | { kind: "action"; action: Action }
  | { kind: "digit"; digit: string }
  | { kind: "erase" }
  | { kind: "clear" }
  | { kind: "other-letter" }
  | { kind: "menu" };

const ACTIONS: Record<string, Action> = {
  F2: "call-next",
  F4: "recall",
  F8: "no-show",
  F9: "complete",
  F10: "transfer",
  Pause: "pause",
  NumpadAdd: "recall",
  NumpadSubtract: "no-show",
  NumpadMultiply: "transfer",
  NumpadDivide: "park",
  Slash: "park",
  Insert: "note",
  Delete: "undo",
  Home: "ask-help",
  PageUp: "message",
  PageDown: "resume",
};

/** Keys that mean something else in a field. */
const OF_FIELDS = /^(?:Numpad.*|Slash|Insert|Delete|Home|End|Page.*)$/;

/** What the key means, or nothing when it belongs to the browser or to the field that has the focus. */
export function wishOf(event: KeyboardEvent): KeyWish | null {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return null;
  const target = event.target instanceof HTMLElement ? event.target : null;
  const typing = target?.closest("input, textarea, select") != null;
  const onControl = target?.closest("button, a, summary") != null;
  const action = ACTIONS[event.code];
  if (action && !event.shiftKey && !(typing && OF_FIELDS.test(event.code))) return { kind: "action", action };
  if (typing) return null;
  if (event.code === "NumpadEnter" || (event.code === "Enter" && !onControl)) return { kind: "primary" };
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  if (digit !== undefined && !event.shiftKey) return { kind: "digit", digit };
  if (event.code === "Backspace") return { kind: "erase" };
  if (event.code === "Escape") return { kind: "clear" };
  if (event.code === "End") return { kind: "menu" };
  if (event.code === "NumpadDecimal" || event.code === "Period") return { kind: "other-letter" };
  return null;
}

/** The legend on a button: the key of a keyboard, then that of a keypad. */
export const LEGENDS: Partial<Record<Action, string[]>> = {
  recall: ["F4", "+"],
  "no-show": ["F8", "−"],
  park: ["/"],
  transfer: ["F10", "∗"],
  complete: ["F9"],
  "call-next": ["F2"],
  note: ["Ins"],
  undo: ["Del"],
  "ask-help": ["Home"],
  "answer-help": ["Home"],
  message: ["PgUp"],
  resume: ["PgDn"],
};
