/** What administrators hear from the service beside the shapes every page knows. */
export const ROLES = ["officer", "desk", "specialist", "supervisor", "admin"] as const;
export type Role = (typeof ROLES)[number];

export interface User {
  name: string;
  display_name: string;
  roles: Role[];
  centres: string[];
  home_department: string | null;
  is_disabled: boolean;
  password_at_ms: number;
  must_change_password: boolean;
  has_second_factor: boolean;
  created_at_ms: number;
  /** Whether whoever is signed in may change this account. */
  is_yours: boolean;
}

export interface Machine {
  id: string;
  role: "kiosk" | "board" | "integrator";
  device: string | null;
  label: string;
  created_at_ms: number;
  last_seen_at_ms: number | null;
}

export interface Entry {
  id: number;
  at_ms: number;
  actor: string;
  place: string | null;
  action: string;
  object: string;
  outcome: string;
  detail: Record<string, unknown>;
}
