/** What the service does not do, as a sentence: one for each code of `errors.py`, in every language (a test finds missing ones). */
import { isKey, t, type Language } from "./i18n.svelte";

/** The sentence for a code; one of a newer service shows itself. */
export function refused(code: string, as?: Language): string {
  const key = `shared.refused-${code.toLowerCase().replaceAll("_", "-")}`;
  return isKey(key) ? t(key, {}, as) : t("shared.refused", { code }, as);
}
