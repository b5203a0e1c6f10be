import "./log.css";
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { n } from "./format";
import { Copy, Panel, useShared } from "./ui";

// The log of a game session while it is written. What game servers write may be meant to harm
// who looks: the server escapes what acts on terminals or cannot be seen, here once more, and
// lines are text and nothing else.

const mostLines = 20_000;
const mostText = 4 << 20; // characters kept
const longest = 4096; // characters of a line; what is longer goes on in the next
const lineHeight = 18;

interface Line { no: number; file: string; text: string; mark?: boolean; open?: boolean }
interface Position { file: string; gen: string; offset: number }
interface Event { file?: string; gen?: string; text?: string; next?: number; mark?: string; words?: string; why?: string; host?: string; files?: { name: string; note?: string }[] }

// Log holds the newest lines of all files.
class Log {
  lines: Line[] = [];
  files = new Map<string, Position>();
  notes: { name: string; note?: string }[] = [];
  host = "";
  dropped = 0; // lines that gave way to newer ones
  private size = 0;
  private last = 0;

  take(kind: string, e: Event) {
    if (kind === "open") this.host = e.host ?? "";
    if (kind === "files") this.notes = e.files ?? [];
    if (kind === "mark") this.add({ file: e.file ?? "", text: e.words ?? e.mark ?? "", mark: true });
    if (kind === "text") {
      this.files.set(e.file!, { file: e.file!, gen: e.gen ?? "", offset: e.next ?? 0 });
      this.text(e.file!, e.text ?? "");
    }
  }

  private text(file: string, text: string) {
    const parts = text.split("\n");
    for (let i = 0; i < parts.length; i++) {
      const ends = i < parts.length - 1;
      if (!ends && parts[i] === "") break;
      let open = i === 0 ? this.lines.findLast((l) => l.file === file && !l.mark) : undefined;
      let rest = visible(parts[i]);
      if (open?.open) {
        const more = rest.slice(0, longest - open.text.length);
        open.text += more;
        this.size += more.length;
        rest = rest.slice(more.length);
        open.open = !ends && open.text.length < longest;
        if (rest === "") continue;
      }
      do {
        open = this.add({ file, text: rest.slice(0, longest), open: !ends && rest.length < longest });
        rest = rest.slice(longest);
      } while (rest !== "");
    }
  }

  private add(l: Omit<Line, "no">): Line {
    const line = { ...l, no: ++this.last };
    this.lines.push(line);
    this.size += line.text.length + 50;
    let gone = 0;
    while (this.lines.length - gone > mostLines || (this.size > mostText && this.lines.length - gone > 1)) this.size -= this.lines[gone++].text.length + 50;
    if (gone) { this.lines.splice(0, gone); this.dropped += gone; }
    return line;
  }
}

// visible is a text in which everything is seen.
export function visible(text: string): string {
  return text.replace(/[^\P{C}\t]|[\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

class Refused extends Error { constructor(message: string, readonly code: string) { super(message); } }

// read streams a log into tell until it ends or stop is told. It returns why it ended.
async function read(id: string, log: Log, stop: AbortSignal, tell: () => void): Promise<Event> {
  const q = new URLSearchParams({ id });
  if (log.files.size > 0) q.set("from", JSON.stringify([...log.files.values()].slice(-64)));
  const response = await fetch("/api/tail?" + q.toString(), { signal: stop, credentials: "same-origin" });
  if (!response.ok || !response.body) {
    const f = await response.json().catch(() => ({})) as { error?: string; code?: string };
    throw new Refused(f.error ?? `the server answered ${response.status}`, f.code ?? "");
  }
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { why: "broken" };
    rest += decoder.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop()!;
    for (const text of events) {
      const kind = /^event: (\w+)/.exec(text)?.[1];
      const data = text.slice(text.indexOf("\ndata: ") + 7);
      if (!kind) continue;
      const e = JSON.parse(data) as Event;
      if (kind === "end") return e;
      log.take(kind, e);
    }
    tell();
  }
}

// LogPanel shows the log of a game session that runs, and keeps what it has when that ends.
export function LogPanel(p: { id: string; running: boolean }) {
  const { visit, signIn } = useShared();
  const log = useMemo(() => new Log(), [p.id]);
  const [, draw] = useReducer((x: number) => x + 1, 0);
  const [state, setState] = useState<{ text: string; code?: string }>({ text: "Asking the host…" });
  const [began] = useState(p.running);
  useEffect(() => {
    if (!began) return;
    const stop = new AbortController();
    let timer = 0, frame = 0, wait = 1000;
    const tell = () => {
      wait = 1000;
      if (!frame) frame = window.setTimeout(() => { frame = 0; draw(0); }, 100);
      setState((s) => (s.text === "" ? s : { text: "" }));
    };
    const go = () => {
      read(p.id, log, stop.signal, tell).then((e) => {
        draw(0);
        if (e.why === "broken" || e.why === "restart") throw new Refused("The connection to the server broke", "");
        setState({ text: sentence(e.words ?? "It ended"), code: "end" });
      }).catch((e: unknown) => {
        if (stop.signal.aborted) return;
        const code = e instanceof Refused ? e.code : "";
        const text = sentence(e instanceof Refused ? e.message : "The server does not answer");
        const again = code === "" || code === "HostAway" || code === "LimitExceededException";
        setState({ text: again ? text + " Trying again." : text, code });
        if (again) { timer = window.setTimeout(go, wait); wait = Math.min(wait * 2, 30_000); }
      });
    };
    go();
    return () => { stop.abort(); clearTimeout(timer); clearTimeout(frame); };
  }, [p.id, visit.key, began]);
  if (!began) return null;
  const unread = log.notes.filter((f) => f.note);
  return (
    <Panel title="Log" extra={<span class="dim">{log.host && <>live from host <bdi>{visible(log.host)}</bdi></>}</span>}>
      {log.lines.length > 0 && <View log={log} />}
      {state.text && (
        <p class="dim row" style={{ margin: "8px 0 0" }} role="status">
          <span>{visible(state.text)}</span>
          {state.code === "SignInNeeded" && <button type="button" onClick={signIn}>Sign in…</button>}
        </p>
      )}
      {!state.text && log.lines.length === 0 && <p class="dim" style={{ margin: 0 }}>Nothing was written yet.</p>}
      {unread.length > 0 && <p class="dim" style={{ margin: "8px 0 0" }}>{unread.slice(0, 8).map((f) => <span key={f.name}><code>{visible(f.name)}</code> {visible(f.note!)}. </span>)}</p>}
    </Panel>
  );
}

function sentence(text: string): string {
  const s = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!]$/.test(s) ? s : s + ".";
}

// Row is what is drawn: a line, or where lines are wrapped a part of one.
interface Row { line: Line; from: number; to: number; first: boolean }

// View draws the rows that are seen.
function View(p: { log: Log }) {
  const { log } = p;
  const box = useRef<HTMLDivElement>(null);
  const measure = useRef<HTMLSpanElement>(null);
  const [follow, setFollow] = useState(true);
  const [wrap, setWrap] = useState(true);
  const [file, setFile] = useState("");
  const [search, setSearch] = useState("");
  const [at, setAt] = useState(0); // number of the line that was found
  const [top, setTop] = useState(0);
  const [width, setWidth] = useState(100); // in characters
  const [height, setHeight] = useState(360);
  const seen = useRef({ first: 0, no: 0 });

  useEffect(() => {
    const resized = () => {
      const one = (measure.current?.getBoundingClientRect().width ?? 720) / 100;
      setWidth(Math.max(20, Math.floor(((box.current?.clientWidth ?? 740) - 22) / one)));
      setHeight(box.current?.clientHeight ?? 360);
    };
    const o = new ResizeObserver(resized);
    if (box.current) o.observe(box.current);
    resized();
    return () => o.disconnect();
  }, []);

  const several = log.files.size > 1;
  const names = [...log.files.keys()].sort();
  const lines = file ? log.lines.filter((l) => l.file === file) : log.lines;
  const rows: Row[] = [];
  for (const line of lines) {
    const room = width - (several && !file ? label(line.file).length : 0);
    if (!wrap) { rows.push({ line, from: 0, to: line.text.length, first: true }); continue; }
    for (let from = 0; ;) {
      const to = cutAt(line.text, from, Math.max(20, room));
      rows.push({ line, from, to, first: from === 0 });
      if (to >= line.text.length) break;
      from = to;
    }
  }
  const tall = rows.length * lineHeight;
  const broad = wrap ? 0 : lines.reduce((most, l) => Math.max(most, l.text.length), 0) + 24; // columns

  // The lines that were seen stay where they are, also when older ones give way. At once with
  // the drawing: later it would undo what the reader did meanwhile.
  useLayoutEffect(() => {
    const b = box.current;
    if (!b) return;
    let want = tall;
    if (!follow) {
      const now = rows.findIndex((r) => r.line.no >= seen.current.no);
      if (now < 0 || !seen.current.no) return;
      want = now * lineHeight + seen.current.first;
    }
    if (Math.abs(Math.min(want, b.scrollHeight - b.clientHeight) - b.scrollTop) > 1) b.scrollTop = want;
  });
  const scrolled = (b: HTMLDivElement) => {
    setTop(b.scrollTop);
    const row = rows[Math.min(rows.length - 1, Math.floor(b.scrollTop / lineHeight))];
    if (row) {
      const start = rows.findIndex((r) => r.line === row.line);
      seen.current = { no: row.line.no, first: b.scrollTop - start * lineHeight };
    }
  };
  // Who turns the wheel upwards wants to read.
  const pause = (b: HTMLDivElement) => { if (follow) { scrolled(b); setFollow(false); } };

  const needle = search.toLowerCase();
  const found = needle ? lines.filter((l) => l.text.toLowerCase().includes(needle)) : [];
  const place = found.findIndex((l) => l.no === at);
  const find = (step: number) => {
    if (found.length === 0) return;
    const b = box.current!;
    const here = place < 0 ? (step > 0 ? found.findIndex((l) => l.no >= seen.current.no) : found.length) : place + step;
    const line = found[(((here < 0 ? 0 : here) % found.length) + found.length) % found.length];
    setAt(line.no);
    setFollow(false);
    const row = rows.findIndex((r) => r.line === line);
    const start = Math.max(0, row * lineHeight - b.clientHeight / 2);
    const first = rows[Math.floor(start / lineHeight)];
    seen.current = { no: first.line.no, first: 0 };
    b.scrollTop = start;
  };

  const from = Math.max(0, Math.floor((follow ? tall - height : top) / lineHeight) - 10);
  const drawn = rows.slice(from, from + Math.ceil(height / lineHeight) + 20);
  const choose = (name: string) => { setFile(name); setAt(0); seen.current = { no: 0, first: 0 }; };
  return (
    <>
      <div class="row log-tools">
        <button type="button" aria-pressed={follow} onClick={() => (follow ? pause(box.current!) : setFollow(true))}>{follow ? "Pause" : "Follow"}</button>
        <label class="row"><input type="checkbox" checked={wrap} onChange={(e) => setWrap(e.currentTarget.checked)} />Wrap lines</label>
        {several && (
          <label class="row dim">File
            <select value={file} onChange={(e) => choose(e.currentTarget.value)}>
              <option value="">All</option>
              {names.map((name) => <option value={name} key={name}>{visible(name)}</option>)}
            </select>
          </label>
        )}
        <input type="search" placeholder="Search the log" aria-label="Search the log" value={search}
          onInput={(e) => { setSearch(e.currentTarget.value); setAt(0); }}
          onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); find(e.shiftKey ? -1 : 1); } }} />
        {needle && (
          <>
            <button type="button" onClick={() => find(-1)} disabled={found.length === 0} aria-label="Previous line that was found">↑</button>
            <button type="button" onClick={() => find(1)} disabled={found.length === 0} aria-label="Next line that was found">↓</button>
            <span class="dim" role="status">{place >= 0 ? `${n(place + 1)} of ` : ""}{n(found.length)} {found.length === 1 ? "line" : "lines"} found</span>
          </>
        )}
        <span style={{ flex: 1 }} />
        <span class="dim">{n(lines.length)} {lines.length === 1 ? "line" : "lines"}{log.dropped > 0 && `, ${n(log.dropped)} older ones gave way`}</span>
        <Copy text={() => lines.map((l) => l.text).join("\n") + "\n"} label="Copy" hint="Copy these lines" done="Copied the lines" />
      </div>
      <div class="log" ref={box} role="log" aria-live="off" aria-label={follow ? "Log lines, following" : "Log lines, paused"} tabIndex={0}
        onScroll={(e) => { if (!follow) scrolled(e.currentTarget); else setTop(e.currentTarget.scrollTop); }}
        onWheel={(e) => { if (e.deltaY < 0) pause(e.currentTarget); }}
        onPointerDown={(e) => { if (e.offsetX > e.currentTarget.clientWidth) pause(e.currentTarget); }}
        onKeyDown={(e) => {
          if (["ArrowUp", "PageUp", "Home"].includes(e.key)) pause(e.currentTarget);
          if (e.key === "End") setFollow(true);
        }}>
        <span class="log-measure" ref={measure} aria-hidden="true">{"m".repeat(100)}</span>
        <div class="tall" style={{ height: `${tall}px`, width: `${broad}ch` }}>
          {drawn.map((r, i) => (
            <div key={`${r.line.no} ${r.from}`} class={`line${r.line.mark ? " mark" : ""}${r.line.no === at ? " at" : ""}`} style={{ top: `${(from + i) * lineHeight}px` }}>
              {several && !file && <span class="file">{r.first ? label(r.line.file) : " ".repeat(label(r.line.file).length)}</span>}
              {r.line.mark && r.first && "― "}
              <Text text={r.line.text.slice(r.from, r.to)} needle={needle} />
            </div>
          ))}
        </div>
      </div>
      <Said log={log} follow={follow} />
    </>
  );
}

// label is the end of a file's name, all of one width.
function label(name: string): string {
  const short = visible(name.slice(name.lastIndexOf("/") + 1));
  return (short.length > 14 ? short.slice(0, 6) + "…" + short.slice(-7) : short.padEnd(14)) + "  ";
}

const wide = /[\t\u1100-\uffff]/; // may take another number of columns than one; so do surrogates

// cutAt is where a row of a text ends that begins at from: after as many columns as there are.
function cutAt(text: string, from: number, columns: number): number {
  if (!wide.test(text)) return Math.min(from + columns, text.length);
  let used = 0;
  for (let i = from; i < text.length; ) {
    const code = text.codePointAt(i)!;
    used += code === 9 ? 8 : code > 0x10ff && /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Extended_Pictographic}\uff00-\uff60]/u.test(String.fromCodePoint(code)) ? 2 : 1;
    if (used > columns) return i;
    i += code > 0xffff ? 2 : 1;
  }
  return text.length;
}

function Text(p: { text: string; needle: string }) {
  if (!p.needle) return <>{p.text}</>;
  const parts = [];
  const low = p.text.toLowerCase();
  let done = 0;
  // Where lower case has another length, what is found cannot be marked.
  for (let i = low.length === p.text.length ? low.indexOf(p.needle) : -1; i >= 0; i = low.indexOf(p.needle, done)) {
    parts.push(p.text.slice(done, i), <mark>{p.text.slice(i, i + p.needle.length)}</mark>);
    done = i + p.needle.length;
  }
  return <>{parts}{p.text.slice(done)}</>;
}

const sayEvery = 5_000;

// Said tells a screen reader now and then how many lines came, and the last: not each.
function Said(p: { log: Log; follow: boolean }) {
  const [text, setText] = useState("");
  const told = useRef(p.log.lines.at(-1)?.no ?? 0);
  useEffect(() => {
    const timer = setInterval(() => {
      const last = p.log.lines.at(-1);
      if (!p.follow || document.hidden || !last || last.no === told.current) return;
      const more = last.no - told.current;
      told.current = last.no;
      setText(`${n(more)} new log ${more === 1 ? "line" : "lines"}, the last: ${last.text.slice(0, 200)}`);
    }, sayEvery);
    return () => clearInterval(timer);
  }, [p.log, p.follow]);
  return <div class="sr" aria-live="polite">{text}</div>;
}
