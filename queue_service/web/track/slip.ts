/**
 * What a slip says: the code of a dossier and, where it is known, the second secret. A scanner types the QR's whole link, people type what they read.
 */
export interface Slip {
  code: string;
  secret: string;
}

const SECRET = /^[A-Z0-9]{8}$/i;

/** `https://…/track#H15.50-261008-0975.ABCD34EF`, its fragment, or a bare code. */
export function slipOf(typed: string): Slip {
  const text = typed.trim().split("#").pop()!;
  const dot = text.lastIndexOf(".");
  const end = text.slice(dot + 1);
  return dot > 0 && SECRET.test(end) ? { code: text.slice(0, dot), secret: end } : { code: text, secret: "" };
}
