// Everything the page knows comes through here: JSON of its own server, and events.

export interface Visit {
  version: string; region: string; endpoint: string; dev: boolean; matchmaking: boolean;
  token: string; key?: string; name?: string; now: number;
}

export interface Sample {
  at: number; players: number; sessions: number; activating: number; seats: number; free: number;
  processes: number; computes: number; requests: number; errors: number; p99: number;
}

export class ApiError extends Error {
  constructor(message: string, readonly code: string, readonly status: number) { super(message); }
}

async function answer<T>(response: Response): Promise<T> {
  let body: unknown;
  try {
    body = await response.json();
  } catch {
    throw new ApiError(`the server answered ${response.status} without JSON`, "NoJSON", response.status);
  }
  if (!response.ok) {
    const f = body as { error?: string; code?: string };
    throw new ApiError(f.error ?? `the server answered ${response.status}`, f.code ?? "", response.status);
  }
  return body as T;
}

export type Query = Record<string, string | number | undefined>;

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== "") q.set(k, String(v));
  const text = q.toString();
  return answer<T>(await fetch(`/api/${path}${text ? "?" + text : ""}`, { signal, credentials: "same-origin" }));
}

let token = "";

export async function visit(): Promise<Visit> {
  const v = await get<Visit>("visit");
  token = v.token;
  return v;
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const send = () => fetch(`/api/${path}`, {
    method: "POST", credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Matchyard-Token": token },
    body: JSON.stringify(body),
  });
  let response = await send();
  if (response.status === 403) {
    const f = await response.clone().json().catch(() => ({})) as { code?: string };
    if (f.code === "WrongToken") { // the server was restarted, or the visit ended
      await visit();
      response = await send();
    }
  }
  const v = await answer<T>(response);
  if (path === "signin" || path === "signout") token = (v as unknown as Visit).token;
  return v;
}

// watch calls f with each sample, and tell with whether the server is there. It comes back by
// itself, later each time.
export function watch(f: (s: Sample) => void, tell: (live: boolean) => void): () => void {
  let source: EventSource | undefined;
  let timer = 0;
  let wait = 1000;
  const open = () => {
    source = new EventSource("/api/events");
    source.onopen = () => { wait = 1000; tell(true); };
    source.addEventListener("sample", (e) => { tell(true); f(JSON.parse((e as MessageEvent<string>).data) as Sample); });
    source.onerror = () => {
      tell(false);
      source?.close();
      timer = window.setTimeout(open, wait);
      wait = Math.min(wait * 2, 30000);
    };
  };
  open();
  return () => { clearTimeout(timer); source?.close(); };
}
