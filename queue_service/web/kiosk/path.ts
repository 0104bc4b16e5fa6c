/** Where a visitor stands: one question a page. The pages walked through are a stack; "back" takes one off, "start over" all of them. */
import type { Ticket } from "@shared/words";

export type Step =
  | { page: "home" }
  /** What for, at this department? */
  | { page: "department"; department: string }
  | { page: "fields"; department: string | null }
  | { page: "field"; department: string | null; field: { code: string; name: string } }
  | { page: "search"; department: string | null; text: string }
  | { page: "procedure"; code: string; department: string | null }
  | { page: "ticket"; ticket: Ticket };

export const HOME: Step = { page: "home" };
