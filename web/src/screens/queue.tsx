import { clock, f1, n, span } from "../format";
import { Plot } from "../plot";
import { change, link, type Route } from "../route";
import { Bars, Cli, Copy, Empty, Failed, Figures, GameLink, Head, Panel, SpanPicker, Status, When, binName, useData, useShared } from "../ui";

interface QueueLine { name: string; timeout: number; destinations: string[]; waiting: number }

export function Queues() {
  const { data, error } = useData<{ queues: QueueLine[] }>("queues", {}, 5000);
  return (
    <>
      <Head title="Queues"><Cli command="describe-game-session-queues" args={[]} what="all queues" /></Head>
      <Failed error={error} />
      <section class="panel" aria-label="Queues">
        {data?.queues.length === 0 && <Empty>There is no queue yet. <code>aws gamelift create-game-session-queue</code> makes one.</Empty>}
        {data && data.queues.length > 0 && (
          <div class="scroll wide" tabIndex={0} role="region" aria-label="Queues, table"><table><thead><tr><th scope="col">Queue</th><th scope="col" class="num">Waiting</th><th scope="col" class="num">Timeout</th><th scope="col">Destinations</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
            <tbody>{data.queues.map((q) => (
              <tr key={q.name}><td><a href={link("queue", q.name)}>{q.name}</a></td><td class={`num ${q.waiting ? "warn" : ""}`}>{n(q.waiting)}</td><td class="num">{q.timeout} s</td>
                <td>{q.destinations.length === 0 ? <span class="dim">none</span> : q.destinations.map((d) => <div key={d} class="mono">{d}</div>)}</td>
                <td><Cli command="describe-game-session-queues" args={[["names", q.name]]} what="the queue" /></td></tr>
            ))}</tbody></table></div>
        )}
      </section>
      <Find screen="placement" label="Placement id" />
    </>
  );
}

export function Find(p: { screen: string; label: string }) {
  const find = (e: Event) => {
    e.preventDefault();
    location.hash = link(p.screen, String(new FormData(e.currentTarget as HTMLFormElement).get("id")));
  };
  return (
    <form class="filters" onSubmit={find} role="search" style={{ marginTop: "12px" }}>
      <label>{p.label}<input name="id" required size={40} spellcheck={false} autocomplete="off" /></label><button type="submit">Why?</button>
    </form>
  );
}

interface Bin { from: number; to: number; count: number }
interface Tally { name: string; count: number }
interface Wish { id: string; status: string; players: number; location: string; game: string; started: number; ended: number; latency: number; best: number; lacked?: string }
interface View {
  name: string; waiting: number; oldest: number; ended: number; cut: boolean; p50: number; p95: number; p99: number;
  outcomes: Tally[]; lacked: Tally[]; waits: Bin[]; places: Tally[]; regrets: Bin[]; regret: number; wishes: Wish[];
  over: { at: number; fulfilled: number; other: number; p50: number; p95: number }[];
}

const count = (list: Tally[], name: string) => list.find((o) => o.name === name)?.count ?? 0;
const ms = (v: number, data: View) => (count(data.outcomes, "FULFILLED") ? span(v) : "–");

export function Queue(p: { route: Route }) {
  const name = p.route.id;
  const length = Number(p.route.query.get("span")) || 3600;
  const { data, error } = useData<View>("queue", { name, span: length }, 5000);
  const only = p.route.query.get("status") ?? "";
  const { visit } = useShared();
  const now = data ? data.over[data.over.length - 1].at + (length * 1000) / data.over.length : 0;
  const range: [number, number] = [now - length * 1000, now];
  const wishes = data?.wishes.filter((w) => !only || w.status === only) ?? [];
  return (
    <>
      <Head title={name} crumbs={[["Queues", link("queues")]]}>
        <SpanPicker value={length} set={(v) => change(p.route, { span: v })} />
        <Cli command="describe-game-session-queues" args={[["names", name]]} what="the queue" />
      </Head>
      <Failed error={error} />
      {data && (
        <div class="grid">
          <Figures list={[
            { n: n(data.waiting), label: "waiting", note: data.waiting ? `oldest ${span(data.oldest)}` : "nobody" },
            { n: n(data.ended), label: "ended", note: data.cut ? "of the latest 5,000" : "in this time" },
            { n: data.ended ? `${Math.round((100 * count(data.outcomes, "FULFILLED")) / data.ended)} %` : "–", label: "fulfilled", note: `${n(count(data.outcomes, "TIMED_OUT"))} timed out` },
            { n: ms(data.p50, data), label: "p50", note: "from start to fulfilled" }, { n: ms(data.p95, data), label: "p95" }, { n: ms(data.p99, data), label: "p99" },
            { n: data.regrets.some((b) => b.count) ? `${f1(data.regret)} ms` : "–", label: "latency regret", note: "mean over the best place" },
          ]} />
          <Panel title="Placement latency over time" size="s6"><Plot label="Time from start to fulfilled, seconds" range={range} at={data.over.map((o) => o.at)} lines={[
            { name: "p50, s", values: data.over.map((o) => (o.fulfilled ? o.p50 / 1000 : null)), color: "--c1" }, { name: "p95, s", values: data.over.map((o) => (o.fulfilled ? o.p95 / 1000 : null)), color: "--c2" }]} /></Panel>
          <Panel title="Placements that ended" size="s6"><Plot label="Placements that ended" whole range={range} at={data.over.map((o) => o.at)} lines={[
            { name: "Fulfilled", values: data.over.map((o) => o.fulfilled), color: "--c3", fill: true }, { name: "Not", values: data.over.map((o) => o.other), color: "--c5" }]} /></Panel>
          <Panel title="Outcomes" size="s3"><Bars share bars={data.outcomes.map((o) => ({ name: o.name, count: o.count, tone: o.name === "FULFILLED" ? "var(--good)" : "var(--bad)" }))} /></Panel>
          <Panel title="Time to be fulfilled" size="s3"><Bars bars={data.waits.map((b) => ({ name: binName(b.from, b.to, "s"), count: b.count }))} /></Panel>
          <Panel title="Where to" size="s3"><Bars share bars={data.places.map((o) => ({ name: o.name, count: o.count, tone: "var(--c3)" }))} /></Panel>
          <Panel title="Latency regret" size="s3"><Bars bars={data.regrets.map((b) => ({ name: binName(b.from, b.to, "ms"), count: b.count, tone: "var(--c2)" }))} empty="No players sent latencies." /></Panel>
          {data.lacked.length > 0 && (
            <Panel title="What those lacked that timed out or failed"><Bars share bars={data.lacked.map((o) => ({ name: o.name, count: o.count, tone: "var(--bad)" }))} /></Panel>
          )}
          <Panel title="Placements" extra={<label class="row dim">Only <select value={only} onChange={(e) => change(p.route, { status: e.currentTarget.value || undefined })}><option value="">all</option>{["PENDING", "FULFILLED", "CANCELLED", "TIMED_OUT", "FAILED"].map((s) => <option key={s}>{s}</option>)}</select></label>}>
            {wishes.length === 0 ? <Empty>No placement in this time.</Empty> : (
              <div class="scroll" tabIndex={0} role="region" aria-label="Placements">
                <table><thead><tr><th scope="col">Placement</th><th scope="col">Status</th><th scope="col" class="num">Players</th><th scope="col">Started</th><th scope="col" class="num">Took</th><th scope="col">Location</th><th scope="col" class="num">Latency</th><th scope="col">Game session</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
                  <tbody>{wishes.map((w) => (
                    <tr key={w.id}><td><a href={link("placement", w.id)}><bdi>{w.id}</bdi></a></td><td><Status of={w.status} />{w.lacked && <div class="dim">lacked {w.lacked}</div>}</td><td class="num">{w.players}</td><td><When at={w.started} /></td><td class="num nowrap">{w.ended ? span(w.ended - w.started) : `waits ${span(visit.now + performance.now() - w.started)}`}</td>
                      <td class="nowrap">{w.location}</td><td class="num">{w.best ? `${f1(w.latency)} (best ${f1(w.best)})` : "–"}</td><td>{w.game && <GameLink id={w.game} />}</td>
                      <td><Cli command="describe-game-session-placement" args={[["placement-id", w.id]]} what="the placement" /></td></tr>
                  ))}</tbody></table>
              </div>
            )}
          </Panel>
        </div>
      )}
    </>
  );
}

interface Candidate { Destination: number; Fleet: string; Location: string; Rank: string; Free: number; Outcome: string }
interface Exclusion { Destination: number; Fleet?: string; Location?: string; Free: number; Why: string }
interface Pass { At: string; Cap?: number; Until?: string; Steps: string[] | null; Candidates: Candidate[] | null; Excluded?: Exclusion[]; MoreCandidates?: number; MoreExcluded?: number }
export interface Explanation {
  PlacementID: string; Queue: string; Status: string; StartTime: string; EndTime?: string; Deadline?: string; MaxPlayers: number; Players: number; Latencies: number;
  GameSession?: string; Passes: Pass[] | null; LeftPasses?: number; Attempts?: { At: string; GameSession: string; Fleet: string; Location: string; EndedAt?: string; Outcome?: string }[];
  Now?: Pass; WouldHaveWorked?: string[];
}

export function Placement(p: { route: Route }) {
  const { data, error } = useData<{ explanation: Explanation; text: string }>("placement", { id: p.route.id }, 5000);
  return (
    <>
      <Head title={p.route.id || "Placement"} crumbs={[["Queues", link("queues")], ...(data ? [[data.explanation.Queue, link("queue", data.explanation.Queue)] as [string, string]] : [])]}>
        {data && <Status of={data.explanation.Status} />}
        {data && <Copy text={data.text} label="Copy as text" done="Copied the explanation" />}
        <Cli command="describe-game-session-placement" args={[["placement-id", p.route.id]]} what="the placement" />
      </Head>
      <Failed error={error} />
      {data && <section class="panel" aria-label="Explanation"><Explained e={data.explanation} /></section>}
    </>
  );
}

// Explained tells why a placement went as it did.
export function Explained(p: { e: Explanation }) {
  const { e } = p;
  const start = Date.parse(e.StartTime);
  const after = (t: string) => span(Date.parse(t) - start);
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Queue</dt><dd><a href={link("queue", e.Queue)}>{e.Queue}</a></dd>
        <dt>Started</dt><dd>{clock(start)}, {e.EndTime ? `${e.Status} after ${after(e.EndTime)}` : `${e.Status}${e.Deadline ? `, times out ${after(e.Deadline)} after the start` : ""}`}</dd>
        <dt>Wants</dt><dd>room for {e.MaxPlayers} players, {e.Players} of them reserved with it; {e.Latencies} latency reports</dd>
        {e.GameSession && <><dt>Game session</dt><dd><GameLink id={e.GameSession} /></dd></>}
      </dl>
      {e.WouldHaveWorked && e.WouldHaveWorked.length > 0 && (
        <div><h2>{e.EndTime ? "What would have worked" : "What would work"}</h2><ul class="problems">{[...new Set(e.WouldHaveWorked)].map((w) => <li key={w}>{w}</li>)}</ul></div>
      )}
      {e.Now && <Look title="Now" pass={e.Now} after={after} />}
      {(e.Passes ?? []).map((x, i) => <Look key={i} title={`Look ${i + 1}, ${after(x.At)} after the start`} pass={x} after={after} />)}
      {e.LeftPasses ? <p class="dim">{e.LeftPasses} looks between were left out.</p> : null}
      {e.Attempts && e.Attempts.length > 0 && (
        <div><h2>Game sessions started for it</h2>
          <div class="scroll wide" tabIndex={0} role="region" aria-label="Game sessions started for it"><table><thead><tr><th scope="col">After</th><th scope="col">Where</th><th scope="col">Game session</th><th scope="col">Outcome</th></tr></thead>
            <tbody>{e.Attempts.map((a, i) => <tr key={i}><td>{after(a.At)}</td><td>{a.Location} of {a.Fleet}</td><td><GameLink id={a.GameSession} /></td><td>{a.Outcome || (e.EndTime ? "ACTIVE" : "being activated")}</td></tr>)}</tbody></table></div></div>
      )}
    </div>
  );
}

function Look(p: { title: string; pass: Pass; after: (t: string) => string }) {
  const x = p.pass;
  return (
    <div>
      <h2>{p.title}</h2>
      <p class="dim" style={{ margin: "0 0 4px" }}>ranked by {(x.Steps ?? []).join(", ") || "nothing"}{x.Cap !== undefined && `; latency at most ${x.Cap} ms${x.Until ? `, until ${p.after(x.Until)} after the start` : ""}`}</p>
      {!x.Candidates?.length && !x.Excluded?.length ? <Empty>There was no place at all to look at.</Empty> : <div class="scroll wide" tabIndex={0} role="region" aria-label={p.title}><table><thead><tr><th scope="col">Place</th><th scope="col">Rank</th><th scope="col" class="num">Free</th><th scope="col">Outcome</th></tr></thead>
        <tbody>
          {(x.Candidates ?? []).map((c, i) => <tr key={i}><td>{c.Location} of <a href={link("fleet", c.Fleet)}>{c.Fleet}</a></td><td>{c.Rank}</td><td class="num">{c.Free}</td><td class={c.Outcome === "chosen" ? "good" : ""}>{c.Outcome}</td></tr>)}
          {(x.Excluded ?? []).map((c, i) => <tr key={"x" + i}><td class="dim">{c.Location ? `${c.Location} of ${c.Fleet}` : `destination ${c.Destination}`}</td><td class="dim">left out</td><td class="num">{c.Free}</td><td>{c.Why}</td></tr>)}
        </tbody></table></div>}
      {(x.MoreCandidates || x.MoreExcluded) ? <p class="dim">and {(x.MoreCandidates ?? 0) + (x.MoreExcluded ?? 0)} more places</p> : null}
    </div>
  );
}
