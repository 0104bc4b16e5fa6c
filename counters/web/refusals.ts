/** Refusals as sentences for the officer; the code stays beside them for whoever has to look it up. */
import type { Refused } from "@shared/api";
import { t } from "@shared/i18n.svelte";
import { refused } from "@shared/refusals";

export function sentenceOf(refusal: Refused): string {
  return refusal.code === "NOT_YOUR_SEAT" ? t("console.not-your-seat") : refused(refusal.code);
}
