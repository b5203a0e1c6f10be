import { render } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { post, visit as readVisit, watch, type Sample, type Visit } from "./api";
import { isUtc, setUtc, zoneName } from "./format";
import { link, useRoute, type Route } from "./route";
import { Context, message } from "./ui";
import { Overview } from "./screens/overview";
import { Fleet, Fleets } from "./screens/fleet";
import { Sessions } from "./screens/sessions";
import { Timeline } from "./screens/timeline";
import { Game } from "./screens/game";
import { Player } from "./screens/player";
import { Placement, Queue, Queues } from "./screens/queue";
import { Matchmaker, Matchmakers, Ticket } from "./screens/matchmaker";
import { Workshop } from "./screens/workshop";
import { Operations } from "./screens/operations";

const menu: [string, string, string[]][] = [
  ["overview", "Overview", []],
  ["fleets", "Fleets", ["fleet"]],
  ["sessions", "Game sessions", ["game"]],
  ["timeline", "Timeline", []],
  ["player", "Player look-up", []],
  ["queues", "Queues", ["queue", "placement"]],
  ["matchmakers", "Matchmakers", ["matchmaker", "ticket"]],
  ["workshop", "Rule workshop", []],
  ["operations", "Operations", []],
];

function Screen(p: { route: Route }) {
  const { route } = p;
  switch (route.screen) {
    case "overview": return <Overview route={route} />;
    case "fleets": return <Fleets />;
    case "fleet": return <Fleet key={route.id} route={route} />;
    case "sessions": return <Sessions route={route} />;
    case "timeline": return <Timeline route={route} />;
    case "game": return <Game key={route.id} route={route} />;
    case "player": return <Player route={route} />;
    case "queues": return <Queues />;
    case "queue": return <Queue key={route.id} route={route} />;
    case "placement": return <Placement route={route} />;
    case "matchmakers": return <Matchmakers />;
    case "matchmaker": return <Matchmaker key={route.id} route={route} />;
    case "ticket": return <Ticket route={route} />;
    case "workshop": return <Workshop route={route} />;
    case "operations": return <Operations />;
    default: return <p>There is no such view. <a href={link("overview")}>Overview</a></p>;
  }
}

function App(p: { first: Visit }) {
  const route = useRoute();
  const [visit, setVisit] = useState(p.first);
  const [latest, setLatest] = useState<Sample>();
  const [live, setLive] = useState(false);
  const [said, setSaid] = useState("");
  const [signing, setSigning] = useState(false);
  const [zone, setZone] = useState(zoneName());
  const main = useRef<HTMLElement>(null);
  const opened = useRef(false);
  const timer = useRef(0);
  const say = useCallback((text: string) => {
    setSaid(text);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setSaid(""), 5000);
  }, []);
  useEffect(() => watch(setLatest, setLive), []);
  // Another view begins at its top, also for those who listen.
  const where = route.screen + "/" + route.id;
  useEffect(() => {
    if (!opened.current) { opened.current = true; return; }
    main.current?.focus();
    scrollTo(0, 0);
  }, [where]);
  const signOut = () => post<Visit>("signout", {}).then((v) => { setVisit(v); say("Signed out"); }, (e: unknown) => say(message(e)));
  return (
    <Context.Provider value={{ visit, latest, live, say, signIn: () => setSigning(true) }}>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>Skip to the view</a>
      <div class="shell">
        <header class="side">
          <a class="brand" href={link("overview")}><img src="/icon.svg" alt="" width={20} height={20} />Matchyard</a>
          <nav aria-label="Views">
            <ul>
              {menu.map(([screen, name, inner]) => (
                <li key={screen}><a href={link(screen)} aria-current={screen === route.screen || inner.includes(route.screen) ? "page" : undefined}>{name}</a></li>
              ))}
            </ul>
          </nav>
          <div class="foot">
            <span role="status">{live ? <span class="good">● live</span> : <span class="warn">○ connecting…</span>}</span>
            <span>{visit.region}</span>
            <span>times in <button type="button" class="link" title="Change between the browser's zone and UTC" onClick={() => { setUtc(!isUtc()); setZone(zoneName()); }}>{zone}</button></span>
            {visit.dev ? <span>development server</span>
              : visit.key ? <span>signed in as <bdi>{visit.name || visit.key}</bdi> <button type="button" class="link" onClick={signOut}>Sign out</button></span>
              : <span>read only <button type="button" class="link" onClick={() => setSigning(true)}>Sign in</button></span>}
            <span class="clip" title={visit.version}>{visit.version}</span>
          </div>
        </header>
        <main id="main" tabIndex={-1} ref={main}><Screen key={zone} route={route} /></main>
      </div>
      {signing && <SignIn close={() => setSigning(false)} done={(v) => { setVisit(v); setSigning(false); say("Signed in"); }} />}
      <div aria-live="polite">{said && <div class="toast">{said}</div>}</div>
    </Context.Provider>
  );
}

function SignIn(p: { close: () => void; done: (v: Visit) => void }) {
  const box = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState("");
  useEffect(() => { box.current?.showModal(); }, []);
  const submit = (e: Event) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget as HTMLFormElement);
    post<Visit>("signin", { key: String(form.get("key")), secret: String(form.get("secret")) }).then(p.done, (e: unknown) => setError(message(e)));
  };
  return (
    <dialog ref={box} onClose={p.close} aria-labelledby="signin-title">
      <form onSubmit={submit}>
        <h2 id="signin-title">Sign in with an access key</h2>
        <p class="dim" style={{ margin: 0 }}>What you may change is what the key's policy allows. The visit ends an hour after your last change.</p>
        <label class="stack">Access key id<input name="key" required autocomplete="username" spellcheck={false} /></label>
        <label class="stack">Secret access key<input name="secret" type="password" required autocomplete="current-password" /></label>
        {error && <div class="error" role="alert">{error}</div>}
        <div class="row"><button class="primary" type="submit">Sign in</button><button type="button" onClick={() => box.current?.close()}>Cancel</button></div>
      </form>
    </dialog>
  );
}

const root = document.getElementById("app")!;
readVisit().then((v) => render(<App first={v} />, root), (e: unknown) => { root.textContent = "The server does not answer: " + message(e); });
