import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, type Page } from "@playwright/test";

interface Where { url: string; fleet: string; game: string; player: string; queue: string; placement: string; waiting: string; matchmaker: string; ticket: string; total: number; key: string; secret: string; readKey: string; readSecret: string; broken: string; ending: string }
export const servers = JSON.parse(readFileSync(process.env.MATCHYARD_SERVERS!, "utf8")) as { hostile: string[]; empty: Where; one: Where; busy: Where; crowd: Where; serve: Where; managed: Where };

// screens are the links of every view that a server can show.
export function screens(s: Where): [string, string][] {
  const list: [string, string][] = [
    ["overview", "#/overview"], ["fleets", "#/fleets"], ["sessions", "#/sessions"], ["timeline", "#/timeline?span=" + (s.total ? 3600 : 600)], ["player", "#/player"], ["queues", "#/queues"],
    ["matchmakers", "#/matchmakers"], ["workshop", "#/workshop"], ["operations", "#/operations"],
  ];
  const of = (name: string, path: string, id?: string) => { if (id) list.push([name, `#/${path}/${encodeURIComponent(id)}`]); };
  of("fleet", "fleet", s.fleet);
  of("game", "game", s.game);
  of("player-found", "player", s.player);
  of("queue", "queue", s.queue);
  of("placement", "placement", s.placement);
  of("placement-waiting", "placement", s.waiting);
  of("matchmaker", "matchmaker", s.matchmaker);
  of("ticket", "ticket", s.ticket);
  return list;
}

// strict fails a test on errors of scripts, on what the policy refused, and on anything that
// is fetched from elsewhere.
export function strict(page: Page) {
  const faults: string[] = [];
  page.on("pageerror", (e) => faults.push("script: " + e.message));
  page.on("console", (m) => { if (m.type() === "error" && !/Failed to load resource/.test(m.text())) faults.push("console: " + m.text()); });
  page.on("request", (r) => { if (!/^(http:\/\/127\.0\.0\.1|data:|blob:)/.test(r.url())) faults.push("from elsewhere: " + r.url()); });
  page.on("dialog", (d) => { faults.push("a dialog: " + d.message()); void d.dismiss(); });
  return async () => {
    expect(await page.evaluate(() => (window as { hacked?: number }).hacked)).toBeUndefined();
    expect(faults).toEqual([]);
  };
}

export async function open(page: Page, s: Where, hash: string) {
  await page.goto(s.url + "/" + hash);
  await expect(page.locator("main h1")).toBeVisible();
  await settled(page);
}

// settled waits until what the view reads is there.
export async function settled(page: Page) {
  for (let i = 0; i < 2; i++) { // what is read first may tell what else to read
    await page.waitForTimeout(250);
    await expect(page.getByText("Reading…")).toHaveCount(0, { timeout: 15_000 });
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// accessible fails on axe's serious and critical findings.
export async function accessible(page: Page) {
  // The page's policy lets no script in from outside, so it comes through the debugger.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: axe });
  const found = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run: (d: Document, o: unknown) => Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> } }).axe;
    const result = await run.run(document, { resultTypes: ["violations"] });
    return result.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary.replace(/\s+/g, " ").slice(0, 200)).join(" | ")}`);
  });
  await client.detach();
  expect(found).toEqual([]);
}
