/** Refusals as sentences for the supervisor; the code stays beside them. */
import type { Refused } from "@shared/api";
import { t } from "@shared/i18n.svelte";
import { refused } from "@shared/refusals";

export function sentenceOf(refusal: Refused): string {
  return refusal.code === "WRONG_STATE" ? t("supervisor.refused-state") : refused(refusal.code);
}
