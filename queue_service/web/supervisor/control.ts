/** What the parts of the page need of the hand: one press at a time, and what went wrong with the last. */
import type { Action } from "./words";

export interface Control {
  readonly busy: boolean;
  readonly trouble: { text: string; code: string } | null;
  /** Press; *done* when it has been carried out. */
  strike: (action: Action, subject: string, body: Record<string, unknown>, done?: () => void) => void;
  forget: () => void;
}
