import { useEffect, useState } from "preact/hooks";

// A view is its link: #/screen/id?key=value. Ids may hold anything, slashes too.
export interface Route { screen: string; id: string; query: URLSearchParams }

export function parse(hash: string): Route {
  const text = hash.replace(/^#\/?/, "");
  const [path, query] = split(text, "?");
  const [screen, id] = split(path, "/");
  return { screen: screen || "overview", id: decode(id), query: new URLSearchParams(query) };
}

function split(text: string, at: string): [string, string] {
  const i = text.indexOf(at);
  return i < 0 ? [text, ""] : [text.slice(0, i), text.slice(i + 1)];
}

function decode(text: string): string {
  try { return decodeURIComponent(text); } catch { return text; }
}

export function link(screen: string, id = "", query: Record<string, string | number | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== "") q.set(k, String(v));
  const text = q.toString();
  return `#/${screen}${id ? "/" + encodeURIComponent(id) : ""}${text ? "?" + text : ""}`;
}

export function useRoute(): Route {
  const [route, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const f = () => set(parse(location.hash));
    addEventListener("hashchange", f);
    return () => removeEventListener("hashchange", f);
  }, []);
  return route;
}

// change puts values into the link of the view without a new entry in the history.
export function change(route: Route, values: Record<string, string | number | undefined>) {
  const q: Record<string, string | number | undefined> = Object.fromEntries(route.query);
  const to = link(route.screen, route.id, { ...q, ...values });
  history.replaceState(null, "", to);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
