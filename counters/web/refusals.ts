/** Refusals as sentences for the officer; the code stays beside them for whoever has to look it up. */
import type { Refused } from "@shared/api";
import { t, type Key } from "@shared/i18n.svelte";

const SENTENCES: Record<string, Key> = {
  COUNTER_BUSY: "console.refused-busy",
  COUNTER_CLOSED: "console.refused-closed",
  COUNTER_PAUSED: "console.refused-paused",
  COUNTER_IDLE: "console.refused-idle",
  SEAT_TAKEN: "console.refused-taken",
  NOT_YOUR_SEAT: "console.refused-not-yours",
  WRONG_STATE: "console.refused-state",
  TOO_EARLY_NO_SHOW: "console.refused-early",
  UNKNOWN_TICKET: "console.refused-ticket",
  UNKNOWN_COUNTER: "console.refused-counter",
  UNDO_EXPIRED: "console.refused-undo-late",
  NOTHING_TO_UNDO: "console.refused-nothing",
  TICKET_ELSEWHERE: "console.refused-elsewhere",
  OFFICER_NOT_SEATED: "console.refused-officer",
  ALREADY_HERE: "console.refused-here",
  RECORD_MISSING: "console.refused-record",
  UNKNOWN_PROCEDURE: "console.refused-procedure",
  INBOX_FULL: "console.refused-inbox",
  KEY_REUSED: "console.refused-reused",
  NOBODY_SERVES: "console.refused-nobody",
  NOT_ALLOWED: "console.refused-rights",
};

export function sentenceOf(refusal: Refused): string {
  const key = SENTENCES[refusal.code];
  return key ? t(key) : t("console.refused", { code: refusal.code });
}
