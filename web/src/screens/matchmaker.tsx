import { Chart } from "../chart";
import { clock, f1, n, span } from "../format";
import { Plot } from "../plot";
import { change, link, type Route } from "../route";
import { Bars, Cli, Empty, Failed, Head, Panel, PlayerLink, SpanPicker, Status, binName, useData, useShared } from "../ui";
import { Find } from "./queue";

interface Line { name: string; ruleSet: string; standalone: boolean; acceptance: boolean; timeout: number; waiting: number; held: number }

export function Matchmakers() {
  const { data, error } = useData<{ matchmakers: Line[] }>("matchmakers", {}, 5000);
  return (
    <>
      <Head title="Matchmakers"><Cli command="describe-matchmaking-configurations" args={[]} what="all configurations" /></Head>
      <Failed error={error} />
      <section class="panel" aria-label="Matchmakers">
        {data?.matchmakers.length === 0 && <Empty>There is no matchmaking configuration yet. The <a href={link("workshop")}>rule workshop</a> is a place to begin.</Empty>}
        {data && data.matchmakers.length > 0 && (
          <table><thead><tr><th scope="col">Configuration</th><th scope="col">Rule set</th><th scope="col">Mode</th><th scope="col" class="num">Timeout</th><th scope="col" class="num">Waiting</th><th scope="col" class="num">In matches</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
            <tbody>{data.matchmakers.map((m) => (
              <tr key={m.name}><td><a href={link("matchmaker", m.name)}>{m.name}</a></td><td><a href={link("workshop", "", { matchmaker: m.name })}>{m.ruleSet}</a></td><td>{m.standalone ? "STANDALONE" : "WITH_QUEUE"}{m.acceptance && ", players accept"}</td>
                <td class="num">{m.timeout} s</td><td class="num">{n(m.waiting)}</td><td class="num">{n(m.held)}</td><td><Cli command="describe-matchmaking-configurations" args={[["names", m.name]]} what="the configuration" /></td></tr>
            ))}</tbody></table>
        )}
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
  outcomes: Tally[]; sizes: Tally[]; over: { at: number; wait: number; matched: number; failed: number }[]; measure: string; spreads: Bin[]; spread: number; tickets: TicketLine[];
}

export function Matchmaker(p: { route: Route }) {
  const name = p.route.id;
  const length = Number(p.route.query.get("span")) || 3600;
  const only = p.route.query.get("status") ?? "";
  const { visit } = useShared();
  const { data, error } = useData<View>("matchmaker", { name, span: length }, 5000);
  const tickets = data?.tickets.filter((t) => !only || t.status === only) ?? [];
  const total = data?.outcomes.reduce((a, o) => a + o.count, 0) ?? 0;
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
          <div class="figures">
            {([["waiting", n(data.waiting), `${n(data.held)} in matches`], ["ended", n(data.ended), data.cut ? "of the latest 5,000" : "in this time"], ["matched", rate("COMPLETED"), "of those that ended"], ["timed out", rate("TIMED_OUT"), ""],
              ["p50 wait", span(data.p50), "of matched"], ["p95 wait", span(data.p95), ""]] as [string, string, string][]).map(([l, v, d]) => (
              <div class="figure" key={l}><div class="n">{v}</div><div class="l">{l}</div><div class="d">{d || " "}</div></div>
            ))}
          </div>
          <Panel title="Mean wait over time" size="s6"><Plot label="Mean wait of matched tickets, seconds" at={data.over.map((o) => o.at)} lines={[{ name: "Wait, s", values: data.over.map((o) => (o.matched ? o.wait : null)), color: "--c1" }]} /></Panel>
          <Panel title="Tickets that ended" size="s6"><Plot label="Tickets that ended" at={data.over.map((o) => o.at)} lines={[{ name: "Matched", values: data.over.map((o) => o.matched), color: "--c3", fill: true }, { name: "Not", values: data.over.map((o) => o.failed), color: "--c5" }]} /></Panel>
          <Panel title="Waiting, by age" size="s3"><Bars bars={data.ages.map((b) => ({ name: binName(b.from, b.to, "s"), count: b.count, tone: "var(--c2)" }))} empty="Nobody waits." /></Panel>
          <Panel title="Waits of matched tickets" size="s3"><Bars bars={data.waits.map((b) => ({ name: binName(b.from, b.to, "s"), count: b.count }))} /></Panel>
          <Panel title="Outcomes" size="s3"><Bars bars={data.outcomes.map((o) => ({ name: o.name, count: o.count, tone: o.name === "COMPLETED" ? "var(--good)" : "var(--bad)" }))} /></Panel>
          <Panel title="Players of a match" size="s3"><Bars bars={data.sizes.map((o) => ({ name: o.name, count: o.count, tone: "var(--c4)" }))} /></Panel>
          {data.measure && (
            <Panel title={`Match quality: spread of ${data.measure}`} extra={<span class="dim">mean {f1(data.spread)}</span>}>
              <Chart label={`Matches by spread of ${data.measure}: ${data.spreads.filter((b) => b.count).map((b) => `${binName(b.from, b.to, "")}: ${b.count}`).join(", ")}`} height={170} version={JSON.stringify(data.spreads)}
                option={(css) => ({
                  animation: false, grid: { left: 50, right: 10, top: 10, bottom: 26 }, tooltip: { renderMode: "richText" },
                  xAxis: { type: "category", data: data.spreads.map((b) => binName(b.from, b.to, "")), axisLabel: { color: css("--dim") } },
                  yAxis: { type: "value", minInterval: 1, axisLabel: { color: css("--dim") }, splitLine: { lineStyle: { color: css("--line") } } },
                  series: [{ type: "bar", name: "matches", data: data.spreads.map((b) => b.count), itemStyle: { color: css("--c4") } }],
                })} />
            </Panel>
          )}
          <Panel title="Tickets" extra={<label class="row dim">Only <select value={only} onChange={(e) => change(p.route, { status: e.currentTarget.value || undefined })}><option value="">all</option>{["QUEUED", "SEARCHING", "REQUIRES_ACCEPTANCE", "PLACING", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"].map((s) => <option key={s}>{s}</option>)}</select></label>}>
            {tickets.length === 0 ? <Empty>No ticket in this time.</Empty> : (
              <div class="scroll" tabIndex={0} role="region" aria-label="Tickets">
                <table><thead><tr><th scope="col">Ticket</th><th scope="col">Status</th><th scope="col">Players</th><th scope="col">Started</th><th scope="col" class="num">Took</th><th scope="col">Match</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
                  <tbody>{tickets.map((t) => (
                    <tr key={t.id}><td><a href={link("ticket", t.id)}><bdi>{t.id}</bdi></a>{t.backfill && <span class="dim"> backfill</span>}</td><td><Status of={t.status} /> <span class="dim">{t.reason}</span></td>
                      <td>{t.players.slice(0, 5).map((x) => <><PlayerLink id={x} /> </>)}{t.players.length > 5 && `and ${t.players.length - 5} more`}</td><td class="nowrap">{clock(t.started)}</td><td class="num nowrap">{span((t.ended || visit.now + performance.now()) - t.started)}</td><td><code>{t.match}</code></td>
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
