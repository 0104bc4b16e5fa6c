/** What each press is called. */
import { t, type Key } from "@shared/i18n.svelte";
import type { Action } from "./actions";

const LABELS: Record<Action, Key> = {
  open: "console.open",
  pause: "console.pause",
  close: "console.close",
  "call-next": "console.call-next",
  call: "console.call",
  recall: "console.recall",
  start: "console.start",
  complete: "console.complete",
  "no-show": "console.no-show",
  park: "console.park",
  resume: "console.resume",
  transfer: "console.transfer",
  note: "console.note-do",
  "ask-help": "console.ask-help",
  "answer-help": "console.help-over",
  message: "console.message-do",
  "mark-read": "console.read",
  undo: "console.undo",
};

export function labelOf(action: Action): string {
  return t(LABELS[action]);
}
