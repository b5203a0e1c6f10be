const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });

export const n = (v: number) => whole.format(v);
export const f1 = (v: number) => tenth.format(v);

const pad = (v: number, l = 2) => String(v).padStart(l, "0");

// Times are shown in the zone of who looks or, when that was chosen, in UTC. The choice is the
// browser's: a link shows each reader their own.
let utc = false;
try { utc = localStorage.getItem("matchyard.zone") === "utc"; } catch { /* no storage: local */ }

export const isUtc = () => utc;
export function setUtc(on: boolean) {
  utc = on;
  try { localStorage.setItem("matchyard.zone", on ? "utc" : "local"); } catch { /* for this visit, then */ }
}
export const zoneName = () => (utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "local");

const zoned = (ms: number) => {
  const d = new Date(ms);
  return utc
    ? { day: `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`, h: d.getUTCHours(), m: d.getUTCMinutes(), s: d.getUTCSeconds() }
    : { day: `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`, h: d.getHours(), m: d.getMinutes(), s: d.getSeconds() };
};

// clock is the time of day, with the date when it is not today's.
export function clock(ms: number, now = Date.now()): string {
  if (!ms) return "–";
  const t = zoned(ms);
  const time = `${pad(t.h)}:${pad(t.m)}:${pad(t.s)}`;
  return zoned(now).day === t.day ? time : `${t.day} ${time}`;
}

// tick is the time of day at an axis: without seconds where they say nothing, and with the
// day at midnight.
export function tick(ms: number, exact = false): string {
  const t = zoned(ms);
  if (!exact && !t.h && !t.m && !t.s) return t.day.slice(5);
  return `${pad(t.h)}:${pad(t.m)}${exact || t.s ? ":" + pad(t.s) : ""}`;
}

export function iso(ms: number): string { return ms ? new Date(ms).toISOString() : ""; }

// ago is how long something is past, in one unit.
export function ago(ms: number, now: number): string {
  if (!ms) return "–";
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

export function span(ms: number): string {
  if (ms < 0) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${tenth.format(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function bytes(v: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (v >= 1024 && i < units.length - 1) { v /= 1024; i++; }
  return `${v < 10 && i > 0 ? v.toFixed(1) : Math.round(v)} ${units[i]}`;
}

// short is the part of an ARN or id that tells it from others.
export function short(id: string): string {
  const last = id.slice(id.lastIndexOf("/") + 1);
  return last.length > 24 ? last.slice(0, 10) + "…" + last.slice(-10) : last;
}

// quote is a word of a shell command. Whatever a player put into it stays one word; control
// characters are written as escapes.
export function quote(word: string): string {
  if (/^[A-Za-z0-9_./:=@%+,-]+$/.test(word)) return word;
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/.test(word)) {
    let out = "$'";
    for (const c of word) {
      const code = c.codePointAt(0)!;
      if (c === "'" || c === "\\") out += "\\" + c;
      else if (code < 32 || (code >= 127 && code < 160)) out += "\\u" + code.toString(16).padStart(4, "0");
      else if (/[\u2028\u2029\u202a-\u202e\u2066-\u2069]/.test(c)) out += "\\u" + code.toString(16).padStart(4, "0");
      else out += c;
    }
    return out + "'";
  }
  return "'" + word.replaceAll("'", `'\\''`) + "'";
}
