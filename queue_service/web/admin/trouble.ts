import { NoAnswer, Refused } from "@shared/api";
import { t } from "@shared/i18n.svelte";
import { refused } from "@shared/refusals";

/** What went wrong, as a sentence; what is no refusal and no silence is our mistake and goes on. */
export function sentence(error: unknown): string {
  if (error instanceof NoAnswer) return t("shared.no-answer");
  if (!(error instanceof Refused)) throw error;
  switch (error.code) {
    case "CONFLICT":
      return t("admin.refused-conflict");
    case "NOT_ALLOWED":
      return t("admin.refused-rights");
    case "NOT_FOUND":
      return t("admin.refused-gone");
    case "WRONG_PASSWORD":
      return t("admin.refused-proof");
    case "MALFORMED":
      return t("admin.refused-form", { detail: error.detail });
    default:
      return refused(error.code);
  }
}

export const isSignedOut = (error: unknown): boolean => error instanceof Refused && error.code === "SIGN_IN_REQUIRED";
