/** Refusals as sentences for the supervisor; the code stays beside them. */
import type { Refused } from "@shared/api";
import { t, type Key } from "@shared/i18n.svelte";

const SENTENCES: Record<string, Key> = {
  SEAT_TAKEN: "supervisor.refused-taken",
  COUNTER_CLOSED: "supervisor.refused-closed",
  WRONG_STATE: "supervisor.refused-state",
  UNKNOWN_TICKET: "supervisor.refused-ticket",
  NOBODY_SERVES: "supervisor.refused-nobody",
  MALFORMED: "supervisor.refused-malformed",
  INBOX_FULL: "supervisor.refused-inbox",
  NOT_ALLOWED: "supervisor.refused-rights",
};

export function sentenceOf(refusal: Refused): string {
  const key = SENTENCES[refusal.code];
  return key ? t(key) : t("supervisor.refused", { code: refusal.code });
}
