import { clock, f1, n, span } from "../format";
import { Plot } from "../plot";
import { change, link, type Route } from "../route";
import { Bars, Cli, Empty, Failed, Figures, Head, Panel, PlayerLink, SpanPicker, Status, When, binName, useData, useShared } from "../ui";
import { Find } from "./queue";

interface Line {
  name: string; ruleSet: string; standalone: boolean; acceptance: boolean; timeout: number; waiting: number; held: number;
  ended: number; matched: number; p50: number; accepts: Accepts; attribute: string; spread: number;
}

const percent = (part: number, of: number) => (of ? `${Math.round((100 * part) / of)} %` : "–");

export function Matchmakers() {
  const { data, error } = useData<{ matchmakers: Line[] }>("matchmakers", {}, 5000);
  return (
    <>
      <Head title="Matchmakers"><Cli command="describe-matchmaking-configurations" args={[]} what="all configurations" /></Head>
      <Failed error={error} />
      <section class="panel" aria-label="Matchmakers">
        {data?.matchmakers.length === 0 && <Empty>There is no matchmaking configuration yet. The <a href={link("workshop")}>rule workshop</a> is a place to begin.</Empty>}
        {data && data.matchmakers.length > 0 && (
          <div class="scroll wide" tabIndex={0} role="region" aria-label="Matchmakers, table"><table><thead><tr><th scope="col">Configuration</th><th scope="col">Rule set</th><th scope="col">Mode</th><th scope="col" class="num">Timeout</th><th scope="col" class="num">Waiting</th><th scope="col" class="num">In matches</th>
            <th scope="col" class="num">Matched</th><th scope="col" class="num">Accepted</th><th scope="col" class="num">p50 wait</th><th scope="col" class="num">Mean spread</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
            <tbody>{data.matchmakers.map((m) => (
              <tr key={m.name}><td><a href={link("matchmaker", m.name)}>{m.name}</a></td><td><a href={link("workshop", "", { matchmaker: m.name })}>{m.ruleSet}</a></td><td>{m.standalone ? "STANDALONE" : "WITH_QUEUE"}{m.acceptance && ", players accept"}</td>
                <td class="num">{m.timeout} s</td><td class="num">{n(m.waiting)}</td><td class="num">{n(m.held)}</td>
                <td class="num">{percent(m.matched, m.ended)}</td><td class="num">{percent(m.accepts.accepted, m.accepts.accepted + m.accepts.rejected + m.accepts.timedOut)}</td><td class="num">{m.matched ? span(m.p50) : "–"}</td><td class="num">{m.attribute && m.spread ? `${f1(m.spread)} ${m.attribute}` : "–"}</td>
                <td><Cli command="describe-matchmaking-configurations" args={[["names", m.name]]} what="the configuration" /></td></tr>
            ))}</tbody></table></div>
        )}
        {data && data.matchmakers.length > 0 && <p class="dim" style={{ margin: "6px 0 0" }}>The last four columns are of the last hour, of at most the latest 200 tickets.</p>}
      </section>
      <Find screen="ticket" label="Ticket id" />
    </>
  );
}

interface Bin { from: number; to: number; count: number }
interface Tally { name: string; count: number }
interface TicketLine { id: string; status: string; reason: string; players: string[]; backfill: boolean; match: string; started: number; ended: number }
interface View {
  name: string; ruleSet: string; waiting: number; held: number; ended: number; cut: boolean; p50: number; p95: number; ages: Bin[]; waits: Bin[];
  outcomes: Tally[]; reasons: Tally[]; sizes: Tally[]; over: { at: number; wait: number; matched: number; failed: number }[]; accepts: Accepts; quality: Quality; tickets: TicketLine[];
}

interface Accepts { asked: boolean; accepted: number; rejected: number; timedOut: number; silent: number; refusing: number }
interface Measured { count: number; mean: number; p50: number; p95: number; bins: Bin[] }
interface Quality {
  matches: number; attribute: string; spread: Measured; difference: Measured; wait: Measured; latency: Measured;
  byWait: { from: number; to: number; matches: number; spread: number | null; difference: number | null; latency: number | null }[];
}

// MatchQuality is how even matches are, and what waiting costs.
function MatchQuality(p: { q: Quality; sizes: Tally[] }) {
  const { q } = p;
  if (q.matches === 0) return <Panel title="Match quality"><Empty>No match was completed in this time.</Empty></Panel>;
  const what: [string, Measured, string, string, string][] = [
    [`Spread of ${q.attribute}`, q.spread, "", "greatest less least of a match", "--c4"], [`Team difference in ${q.attribute}`, q.difference, "", "between the means of its teams", "--c1"],
    ["Longest wait", q.wait, "s", "of the tickets of a match", "--c2"], ["Farthest player", q.latency, "ms", "latency to the game session", "--c3"],
  ];
  const cell = (v: number | null, unit = "") => (v === null ? "–" : `${f1(v)}${unit}`);
  const rows = q.byWait.filter((r) => r.matches > 0);
  return (
    <Panel title="Match quality" extra={<span class="dim">{n(q.matches)} matches; {p.sizes.map((s) => `${n(s.count)} of ${s.name} players`).join(", ")}</span>}>
      <div class="grid">
        {what.filter(([, m]) => m.count > 0).map(([name, m, unit, note, tone]) => (
          <section class="s3" key={name} aria-label={name}>
            <h3>{name}</h3>
            <p class="dim" style={{ margin: "0 0 6px" }}>{note}: mean {f1(m.mean)}{unit && " " + unit}, p50 {f1(m.p50)}, p95 {f1(m.p95)}</p>
            <Bars all bars={m.bins.map((b) => ({ name: binName(b.from, b.to, unit), count: b.count, tone: `var(${tone})` }))} />
          </section>
        ))}
        {!q.attribute && <p class="dim s3">Players have no number to compare them by.</p>}
      </div>
      <h3>By how long they took: what a relaxed rule costs</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label="Quality by wait"><table>
        <thead><tr><th scope="col">Longest wait</th><th scope="col" class="num">Matches</th>{q.attribute && <><th scope="col" class="num">Spread of {q.attribute}</th><th scope="col" class="num">Team difference</th></>}<th scope="col" class="num">Farthest player</th></tr></thead>
        <tbody>{rows.map((r) => <tr key={r.from}><td>{binName(r.from, r.to, "s")}</td><td class="num">{n(r.matches)} <span class="dim">{Math.round((100 * r.matches) / q.matches)} %</span></td>{q.attribute && <><td class="num">{cell(r.spread)}</td><td class="num">{cell(r.difference)}</td></>}<td class="num">{cell(r.latency, " ms")}</td></tr>)}</tbody>
      </table></div>
      <p class="dim" style={{ margin: "6px 0 0" }}>Means. The rows begin where the rule set's expansions do, if it has some.</p>
    </Panel>
  );
}

export function Matchmaker(p: { route: Route }) {
  const name = p.route.id;
  const length = Number(p.route.query.get("span")) || 3600;
  const only = p.route.query.get("status") ?? "";
  const { visit } = useShared();
  const { data, error } = useData<View>("matchmaker", { name, span: length }, 5000);
  const tickets = data?.tickets.filter((t) => !only || t.status === only) ?? [];
  const total = data?.outcomes.reduce((a, o) => a + o.count, 0) ?? 0;
  const a = data?.accepts ?? { asked: false, accepted: 0, rejected: 0, timedOut: 0, silent: 0, refusing: 0 };
  const proposals = a.accepted + a.rejected + a.timedOut;
  const matched = (data?.outcomes.find((o) => o.name === "COMPLETED")?.count ?? 0) > 0;
  const now = data ? data.over[data.over.length - 1].at + (length * 1000) / data.over.length : 0;
  const range: [number, number] = [now - length * 1000, now];
  const rate = (s: string) => (total ? `${Math.round((100 * (data?.outcomes.find((o) => o.name === s)?.count ?? 0)) / total)} %` : "–");
  return (
    <>
      <Head title={name} crumbs={[["Matchmakers", link("matchmakers")]]}>
        {data && <a href={link("workshop", "", { matchmaker: name })}>Rule set {data.ruleSet}</a>}
        <SpanPicker value={length} set={(v) => change(p.route, { span: v })} />
        <Cli command="describe-matchmaking-configurations" args={[["names", name]]} what="the configuration" />
      </Head>
      <Failed error={error} />
      {data && (
        <div class="grid">
          <Figures list={[
            { n: n(data.waiting), label: "waiting", note: `${n(data.held)} in matches` },
            { n: n(data.ended), label: "ended", note: data.cut ? "of the latest 5,000" : "in this time" },
            { n: rate("COMPLETED"), label: "matched", note: `${rate("TIMED_OUT")} timed out, ${rate("CANCELLED")} cancelled` },
            { n: proposals ? `${Math.round((100 * a.accepted) / proposals)} %` : "–", label: "accepted", note: proposals ? `of ${n(proposals)} proposed matches` : a.asked ? "no proposal ended" : "players are not asked" },
            { n: matched ? span(data.p50) : "–", label: "p50 wait", note: "of matched tickets" }, { n: matched ? span(data.p95) : "–", label: "p95 wait", note: "of matched tickets" },
          ]} />
          <Panel title="Mean wait over time" size="s6"><Plot label="Mean wait of matched tickets, seconds" range={range} at={data.over.map((o) => o.at)} lines={[{ name: "Wait, s", values: data.over.map((o) => (o.matched ? o.wait : null)), color: "--c1" }]} /></Panel>
          <Panel title="Tickets that ended" size="s6"><Plot label="Tickets that ended" whole range={range} at={data.over.map((o) => o.at)} lines={[{ name: "Matched", values: data.over.map((o) => o.matched), color: "--c3", fill: true }, { name: "Not", values: data.over.map((o) => o.failed), color: "--c5" }]} /></Panel>
          <Panel title="Waiting, by age" size="s3"><Bars bars={data.ages.map((b) => ({ name: binName(b.from, b.to, "s"), count: b.count, tone: "var(--c2)" }))} empty="Nobody waits." /></Panel>
          <Panel title="Waits of matched tickets" size="s3"><Bars bars={data.waits.map((b) => ({ name: binName(b.from, b.to, "s"), count: b.count }))} /></Panel>
          <Panel title="Outcomes" size="s3">
            <Bars share bars={data.outcomes.map((o) => ({ name: o.name, count: o.count, tone: o.name === "COMPLETED" ? "var(--good)" : "var(--bad)" }))} />
            {data.reasons.length > 0 && <><h3>Why not matched</h3><Bars bars={data.reasons.map((o) => ({ name: o.name, count: o.count, tone: "var(--bad)" }))} /></>}
          </Panel>
          <Panel title="Acceptance" size="s3">
            {!proposals ? <Empty>{a.asked ? "No proposed match ended in this time." : "This configuration does not ask its players."}</Empty> : <>
              <Bars share all bars={[{ name: "accepted", count: a.accepted, tone: "var(--good)" }, { name: "rejected", count: a.rejected, tone: "var(--bad)" }, { name: "not answered", count: a.timedOut, tone: "var(--c2)" }]} />
              <p class="dim" style={{ margin: "8px 0 0" }}>Proposed matches. {n(a.refusing)} players rejected, {n(a.silent)} were silent; the others of their matches searched on.</p></>}
          </Panel>
          <MatchQuality q={data.quality} sizes={data.sizes} />
          <Panel title="Tickets" extra={<label class="row dim">Only <select value={only} onChange={(e) => change(p.route, { status: e.currentTarget.value || undefined })}><option value="">all</option>{["QUEUED", "SEARCHING", "REQUIRES_ACCEPTANCE", "PLACING", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"].map((s) => <option key={s}>{s}</option>)}</select></label>}>
            {tickets.length === 0 ? <Empty>No ticket in this time.</Empty> : (
              <div class="scroll" tabIndex={0} role="region" aria-label="Tickets">
                <table><thead><tr><th scope="col">Ticket</th><th scope="col">Status</th><th scope="col">Players</th><th scope="col">Started</th><th scope="col" class="num">Took</th><th scope="col">Match</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
                  <tbody>{tickets.map((t) => (
                    <tr key={t.id}><td><a href={link("ticket", t.id)}><bdi>{t.id}</bdi></a>{t.backfill && <span class="dim"> backfill</span>}</td><td><Status of={t.status} /> <span class="dim">{t.reason}</span></td>
                      <td>{t.players.slice(0, 5).map((x) => <><PlayerLink id={x} /> </>)}{t.players.length > 5 && `and ${t.players.length - 5} more`}</td><td><When at={t.started} /></td><td class="num nowrap">{span((t.ended || visit.now + performance.now()) - t.started)}</td><td><code>{t.match}</code></td>
                      <td><Cli command="describe-matchmaking" args={[["ticket-ids", t.id]]} what="the ticket" /></td></tr>
                  ))}</tbody></table>
              </div>
            )}
          </Panel>
        </div>
      )}
    </>
  );
}

interface Measure { Failed: boolean; Property: string; Measured: number; MeasuredText: string; Operation: string; Limit: number; LimitText: string; Location: string }
interface Relaxation { Target: string; Value: unknown }
interface Why {
  Never: string; Matchable: boolean; Candidate: string[] | null; Rule: string; Measure: Measure; Also: string[] | null; Relaxed: Relaxation;
  Next: { At: string; Wait: number; Changes: Relaxation[] | null; Candidate: string[] | null } | null;
}
interface Ticket { TicketID: string; Configuration: string; Status: string; StatusReason?: string; StatusMessage?: string; StartTime: string; EndTime?: string; Deadline?: string; MatchID?: string; Players: number; Why?: Why; Text: string }

export function Ticket(p: { route: Route }) {
  const { data, error } = useData<Ticket>("ticket", { id: p.route.id }, 3000);
  const { visit } = useShared();
  const crumbs: [string, string][] = [["Matchmakers", link("matchmakers")]];
  if (data) crumbs.push([data.Configuration, link("matchmaker", data.Configuration)]);
  const start = data ? Date.parse(data.StartTime) : 0;
  const w = data?.Why;
  return (
    <>
      <Head title={p.route.id || "Ticket"} crumbs={crumbs}>{data && <Status of={data.Status} />}<Cli command="describe-matchmaking" args={[["ticket-ids", p.route.id]]} what="the ticket" /></Head>
      <Failed error={error} />
      {data && (
        <div class="grid">
          <Panel title="State" size="s4">
            <dl class="facts">
              <dt>Status</dt><dd>{data.Status}{data.StatusReason && ` (${data.StatusReason})`}</dd>
              {data.StatusMessage && <><dt>Message</dt><dd>{data.StatusMessage}</dd></>}
              <dt>Started</dt><dd>{clock(start)}</dd>
              <dt>{data.EndTime ? "Took" : "Waits"}</dt><dd>{span((data.EndTime ? Date.parse(data.EndTime) : visit.now + performance.now()) - start)}</dd>
              {data.Deadline && <><dt>Times out</dt><dd>{clock(Date.parse(data.Deadline))}</dd></>}
              <dt>Players</dt><dd>{data.Players}</dd>
              {data.MatchID && <><dt>Match</dt><dd><a href={link("placement", data.MatchID)}><code>{data.MatchID}</code></a></dd></>}
            </dl>
          </Panel>
          <Panel title={data.EndTime ? "Why it ended so" : "Why it is not matched"} size="s8"><pre tabIndex={0}>{data.Text}</pre></Panel>
          {w && (
            <Panel title="In numbers">
              <dl class="facts">
                {w.Never && <><dt>Never</dt><dd class="bad">{w.Never}</dd></>}
                {w.Matchable && <><dt>Matchable</dt><dd class="good">a match is possible now; the next pass decides</dd></>}
                {w.Candidate && w.Candidate.length > 0 && <><dt>Best candidates</dt><dd>{w.Candidate.map((t) => <><a href={link("ticket", t)}><bdi>{t}</bdi></a> </>)}</dd></>}
                {w.Rule && <><dt>Failing rule</dt><dd><b>{w.Rule}</b></dd></>}
                {w.Measure?.Operation && <><dt>Measured</dt><dd>{w.Measure.MeasuredText || f1(w.Measure.Measured)} should be {w.Measure.Operation} {w.Measure.LimitText || f1(w.Measure.Limit)}{w.Measure.Location && ` in ${w.Measure.Location}`}</dd></>}
                {w.Also && w.Also.length > 0 && <><dt>Also broken</dt><dd>{w.Also.join(", ")}</dd></>}
                {w.Relaxed?.Target && <><dt>Would match with</dt><dd><code>{w.Relaxed.Target}</code> = {JSON.stringify(w.Relaxed.Value)}</dd></>}
                {w.Next && <><dt>Next help</dt><dd>at {clock(Date.parse(w.Next.At))}: {(w.Next.Changes ?? []).map((c) => `${c.Target} = ${JSON.stringify(c.Value)}`).join(", ")}</dd></>}
              </dl>
            </Panel>
          )}
        </div>
      )}
    </>
  );
}
