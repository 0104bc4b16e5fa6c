/**
 * What the desk asks of the world: readings, presses, and to be told of events. The real hall is the service; the other one is `practice.ts`, which
 * asks nobody.
 */
import { press, read } from "@shared/api";
import { Feed, type Link } from "@shared/feed";
import { watchForNewVersion } from "@shared/freshness";
import type { ShownCall } from "@shared/words";
import type { StaffEvent } from "./words";

export interface Listener {
  onSnapshot: () => void;
  onEvent: (event: StaffEvent) => void;
  onLink: (link: Link) => void;
  onShown: (calls: ShownCall[]) => void;
}

export interface Follower {
  hurry: () => void;
  stop: () => void;
}

export interface Hall {
  read: <T>(path: string) => Promise<T>;
  press: typeof press;
  follow: (listener: Listener) => Follower;
  /** Calls back when a newer page may be loaded. */
  watch: (isIdle: () => boolean) => () => void;
}

export function hallOf(centre: string, counter: string): Hall {
  return {
    read,
    press,
    follow: (listener) => {
      const feed = new Feed<unknown, StaffEvent>({
        path: `/api/v1/centres/${encodeURIComponent(centre)}/events/stream`,
        token: null,
        screen: `console-${counter}`,
        ...listener,
      });
      feed.start();
      return { hurry: () => feed.hurry(), stop: () => feed.stop() };
    },
    watch: (isSafe) => watchForNewVersion(isSafe).stop,
  };
}
