import { useEffect, useState } from "preact/hooks";
import { post } from "../api";
import { Chart } from "../chart";
import { f1, n } from "../format";
import { change, type Route } from "../route";
import { Empty, Failed, Head, Panel, message, useData, useShared } from "../ui";

interface Example { name: string; rules: string; profile: string }
interface Verdict { valid: boolean; findings: { path: string; reason: string }[]; teams?: string[]; slots?: number; large?: boolean; rules?: number }
interface Spread { count: number; mean: number; p50: number; p95: number }
interface Run { name: string; matcher: string; tickets: number; matches: number; outcomes: Record<string, number>; wait: Spread; within: { x: number; y: number }[]; skillBins: { from: number; to: number; count: number }[] | null;
  failures: { reasons: { reason: string; rule?: string; count: number; target?: string; needed?: number; example: string }[] | null } }
interface Result { report: { stream: { name: string; tickets: number; players: number; seconds: number }; skill: string; runs: Run[] }; figures: { label: string; unit: string; values: number[]; change: string; verdict: string }[] }

const samplePlayers = `{
  "red": [{"playerId": "a", "attributes": {"skill": {"N": 10}}, "latencyInMs": {"us-west-2": 40}},
          {"playerId": "b", "attributes": {"skill": {"N": 14}}}],
  "blue": [{"playerId": "c", "attributes": {"skill": {"N": 9}}}]
}`;

export function Workshop(p: { route: Route }) {
  const { visit, signIn } = useShared();
  const q = p.route.query;
  const base = useData<{ examples: Example[]; matchmakers: Example[] }>("workshop/examples");
  const wanted = q.get("matchmaker") ? "m:" + q.get("matchmaker") : "e:" + (q.get("example") || "1v1");
  const all = base.data ? [...base.data.matchmakers.map((e) => ({ ...e, key: "m:" + e.name })), ...base.data.examples.map((e) => ({ ...e, key: "e:" + e.name }))] : [];
  const chosen = all.find((e) => e.key === wanted);
  const [rules, setRules] = useState("");
  const [verdict, setVerdict] = useState<Verdict>();
  const [error, setError] = useState<string>();
  const [source, setSource] = useState("1v1");
  const [hours, setHours] = useState(0.5);
  const [seed, setSeed] = useState(1);
  const [against, setAgainst] = useState("before");
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<Result>();
  useEffect(() => {
    if (!chosen) return;
    setRules(format(chosen.rules));
    setSource(chosen.key.startsWith("m:") ? chosen.key : chosen.name);
    setResult(undefined);
  }, [chosen?.key]);
  // The verdict follows the typing.
  useEffect(() => {
    if (!rules) return;
    const timer = setTimeout(() => post<Verdict>("workshop/validate", { rules }).then((v) => { setVerdict(v); setError(undefined); }, (e: unknown) => setError(message(e))), 250);
    return () => clearTimeout(timer);
  }, [rules]);
  const pick = (key: string) => change(p.route, key.startsWith("m:") ? { matchmaker: key.slice(2), example: undefined } : { example: key.slice(2), matchmaker: undefined });
  const simulate = () => {
    const runs = [{ label: "edited", rules }];
    if (against === "before" && chosen) runs.unshift({ label: "before", rules: chosen.rules });
    const recorded = source.startsWith("m:");
    const profile = recorded ? "" : base.data?.examples.find((e) => e.name === source)?.profile ?? "";
    setBusy(true);
    post<Result>("workshop/simulate", { rules: runs, profile, matchmaker: recorded ? source.slice(2) : "", hours: recorded ? 0 : hours, seed, greedy: against === "greedy" })
      .then((v) => { setResult(v); setError(undefined); }, (e: unknown) => setError(message(e))).finally(() => setBusy(false));
  };
  const may = visit.dev || visit.key;
  return (
    <>
      <Head title="Rule workshop">
        <label class="row dim">Begin with
          <select value={wanted} onChange={(e) => pick(e.currentTarget.value)}>
            {base.data && base.data.matchmakers.length > 0 && <optgroup label="Configurations">{base.data.matchmakers.map((e) => <option key={e.name} value={"m:" + e.name}>{e.name}</option>)}</optgroup>}
            <optgroup label="Examples">{base.data?.examples.map((e) => <option key={e.name} value={"e:" + e.name}>{e.name}</option>)}</optgroup>
          </select>
        </label>
      </Head>
      <Failed error={base.error ?? error} />
      <div class="grid">
        <Panel title="Rule set" size="s6" extra={<button type="button" class="link" onClick={() => setRules(format(rules))}>Format</button>}>
          <textarea class="editor" aria-label="Rule set, JSON" value={rules} spellcheck={false} rows={24} onInput={(e) => setRules(e.currentTarget.value)} aria-describedby="verdict" />
          <div id="verdict" role="status" style={{ marginTop: "8px" }}>
            {verdict?.valid && <span class="good">Valid: {verdict.teams?.join(", ")}; {verdict.slots} slots; {verdict.rules} rules{verdict.large && "; a large match"}.</span>}
            {verdict && !verdict.valid && <><span class="bad">{verdict.findings.length} found:</span><ul class="problems">{verdict.findings.map((f, i) => <li key={i}><code>{f.path}</code> {f.reason}</li>)}</ul></>}
          </div>
        </Panel>
        <div class="s6 grid" style={{ alignContent: "start" }}>
          <Expression teams={verdict?.teams} />
          <Panel title="Simulate">
            <div class="filters">
              <label>Players
                <select value={source} onChange={(e) => setSource(e.currentTarget.value)}>
                  {base.data?.matchmakers.map((e) => <option key={e.name} value={"m:" + e.name}>recorded: {e.name}</option>)}
                  {base.data?.examples.map((e) => <option key={e.name} value={e.name}>drawn: {e.name}</option>)}
                </select>
              </label>
              <label>Hours<input type="number" min={0.05} max={24} step={0.05} value={hours} disabled={source.startsWith("m:")} onInput={(e) => setHours(Number(e.currentTarget.value))} style={{ width: "80px" }} /></label>
              <label>Seed<input type="number" min={0} step={1} value={seed} onInput={(e) => setSeed(Math.max(0, Math.round(Number(e.currentTarget.value))))} style={{ width: "80px" }} /></label>
              <label>Compare with<select value={against} onChange={(e) => setAgainst(e.currentTarget.value)}><option value="before">the rule set before editing</option><option value="greedy">a greedy matcher</option><option value="">nothing</option></select></label>
              {may ? <button type="button" class="primary" disabled={busy || !verdict?.valid} onClick={simulate}>{busy ? "Playing…" : "Simulate"}</button> : <button type="button" onClick={signIn}>Sign in to simulate</button>}
            </div>
            {!result && <Empty>Plays a stream of players through the rule set, and through what it is compared with. Nothing on the server changes.</Empty>}
            {result && <Figures result={result} />}
          </Panel>
        </div>
        {result && <Compared result={result} />}
      </div>
    </>
  );
}

function format(text: string): string {
  try { JSON.parse(text); } catch { return text; }
  return text.includes("\n") ? text : JSON.stringify(JSON.parse(text), null, 2);
}

function Expression(p: { teams?: string[] }) {
  const [expression, setExpression] = useState("avg(flatten(teams[*].players.attributes[skill]))");
  const [players, setPlayers] = useState(samplePlayers);
  const [value, setValue] = useState("");
  const [bad, setBad] = useState(false);
  void p;
  useEffect(() => {
    const timer = setTimeout(() => {
      let roster: Record<string, unknown>;
      try { roster = JSON.parse(players) as Record<string, unknown>; } catch (e) { setBad(true); setValue("players: " + message(e)); return; }
      post<{ value?: unknown; type?: string; error?: string }>("workshop/evaluate", { expression, teams: Object.keys(roster), players: roster }).then(
        (v) => { setBad(!!v.error); setValue(v.error ?? `${v.value === null ? "no value" : JSON.stringify(v.value)}  (${v.type})`); },
        (e: unknown) => { setBad(true); setValue(message(e)); },
      );
    }, 250);
    return () => clearTimeout(timer);
  }, [expression, players]);
  return (
    <Panel title="Try an expression">
      <div class="stack">
        <label class="stack dim">Property expression<input class="mono" value={expression} spellcheck={false} onInput={(e) => setExpression(e.currentTarget.value)} /></label>
        <label class="stack dim">Players by team, JSON<textarea class="mono" rows={5} value={players} spellcheck={false} onInput={(e) => setPlayers(e.currentTarget.value)} /></label>
        <output class={`mono ${bad ? "bad" : "good"}`} role="status">{value}</output>
      </div>
    </Panel>
  );
}

const round = (v: number) => (Math.abs(v) >= 100 ? n(v) : f1(v));

function Figures(p: { result: Result }) {
  const { report, figures } = p.result;
  return (
    <>
      <p class="dim" role="status">{report.stream.name}: {n(report.stream.tickets)} tickets, {n(report.stream.players)} players</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Figures">
        <table><thead><tr><th scope="col">Figure</th>{report.runs.map((r, i) => <th scope="col" class="num" key={i}>{r.name}</th>)}{report.runs.length > 1 && <th scope="col">Change</th>}</tr></thead>
          <tbody>{figures.map((f) => (
            <tr key={f.label}><td>{f.label}{f.unit && <span class="dim">, {f.unit}</span>}</td>{f.values.map((v, i) => <td class="num" key={i}>{round(v)}</td>)}
              {report.runs.length > 1 && <td class={f.verdict === "better" ? "good" : f.verdict === "worse" ? "bad" : "dim"}>{f.change} {f.verdict}</td>}</tr>
          ))}</tbody></table>
      </div>
    </>
  );
}

function Compared(p: { result: Result }) {
  const { runs, skill } = p.result.report;
  const colors = ["--c1", "--c2", "--c3"];
  const version = JSON.stringify(p.result.figures);
  const axis = (css: (n: string) => string) => ({ axisLabel: { color: css("--dim") }, nameTextStyle: { color: css("--dim") }, splitLine: { lineStyle: { color: css("--line") } } });
  const last = runs[runs.length - 1];
  return (
    <>
      <Panel title="Share of tickets matched within so many seconds" size="s6">
        <Chart label="Share of tickets matched within so many seconds" height={220} version={version} option={(css) => ({
          animation: false, grid: { left: 46, right: 16, top: 30, bottom: 26 }, legend: { textStyle: { color: css("--text") }, top: 0 }, tooltip: { trigger: "axis", renderMode: "richText" },
          xAxis: { type: "value", ...axis(css) }, yAxis: { type: "value", min: 0, max: 1, ...axis(css), axisLabel: { color: css("--dim"), formatter: (v: number) => `${Math.round(v * 100)} %` } },
          series: runs.map((r, i) => ({ type: "line", name: r.name, showSymbol: false, data: (r.within ?? []).map((w) => [w.x, w.y]), lineStyle: { color: css(colors[i]), type: i ? "solid" : "dashed" }, itemStyle: { color: css(colors[i]) } })),
        })} />
      </Panel>
      <Panel title={`Matches by spread of ${skill || "skill"}`} size="s6">
        <Chart label="Matches by spread of skill" height={220} version={version} option={(css) => ({
          animation: false, grid: { left: 46, right: 16, top: 30, bottom: 26 }, legend: { textStyle: { color: css("--text") }, top: 0 }, tooltip: { trigger: "axis", renderMode: "richText" },
          xAxis: { type: "category", data: (last.skillBins ?? []).map((b) => round(b.from)), ...axis(css) }, yAxis: { type: "value", ...axis(css) },
          series: runs.map((r, i) => ({ type: "bar", name: r.name, data: (r.skillBins ?? []).map((b) => b.count), itemStyle: { color: css(colors[i]) } })),
        })} />
      </Panel>
      <Panel title={`Why tickets were not matched: ${last.name}`}>
        {!last.failures.reasons?.length ? <Empty>All were matched.</Empty> : (
          <table><thead><tr><th scope="col">Reason</th><th scope="col">Rule</th><th scope="col" class="num">Tickets</th><th scope="col">Half would match with</th><th scope="col">Example</th></tr></thead>
            <tbody>{last.failures.reasons.map((f, i) => <tr key={i}><td>{f.reason}</td><td>{f.rule}</td><td class="num">{n(f.count)}</td><td>{f.target ? <code>{f.target} = {round(f.needed ?? 0)}</code> : ""}</td><td class="dim"><bdi>{f.example}</bdi></td></tr>)}</tbody></table>
        )}
      </Panel>
    </>
  );
}

