import { expect, test, type Page } from "@playwright/test";
import { accessible, open, servers, strict } from "./servers";

// A managed game session whose game server writes ten lines a second, some to harm who looks.
const chat = (servers as unknown as { log: { url: string; game: string; long: string } & typeof servers.one }).log;
const images = process.env.CONSOLE_IMAGES;

const lines = (page: Page) => page.getByRole("log");

// ticks are the numbers of the lines that are drawn.
const ticks = (page: Page) => lines(page).locator(".line").evaluateAll((all) => all.map((l) => Number(/tick (\d+)/.exec(l.textContent ?? "")?.[1] ?? 0)).filter(Boolean));

test("the log of a game is followed, paused and searched", async ({ page }) => {
  const well = strict(page);
  await open(page, chat, `#/game/${encodeURIComponent(chat.game)}`);
  await expect(lines(page)).toBeVisible();
  await expect(lines(page)).toContainText("<b onclick=window.hacked=1>\\x1b[31mred\\x1b[0m</b> \\xff \\u202e");
  // It follows: what is drawn becomes newer.
  const first = Math.max(...await ticks(page));
  await expect.poll(async () => Math.max(...await ticks(page))).toBeGreaterThan(first + 5);
  await accessible(page);
  // A line of 10,000 characters has an end, and rows no wider than the view.
  await expect.poll(() => lines(page).evaluate((e) => e.scrollWidth - e.clientWidth)).toBeLessThan(30);

  // By keyboard: up pauses, and what is seen stands still while lines come.
  await lines(page).focus();
  await page.keyboard.press("PageUp");
  await expect(page.getByRole("button", { name: "Follow" })).toBeVisible();
  await page.waitForTimeout(300);
  const seen = () => lines(page).evaluate((e) => { const top = e.getBoundingClientRect().top; return [...e.querySelectorAll(".line")].find((l) => l.getBoundingClientRect().bottom > top + 2)?.textContent; });
  const still = await seen();
  const count = page.getByText(/^[\d,]+ lines/);
  const before = await count.textContent();
  await expect(count).not.toHaveText(before!);
  expect(await seen()).toBe(still);
  await page.keyboard.press("End");
  await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();

  // Search marks what it finds and goes from one to the next.
  await page.getByLabel("Search the log").fill("start session=");
  await page.keyboard.press("Enter");
  await expect(lines(page).locator(".line.at mark").first()).toHaveText("start session=");
  await expect(page.getByText(/^1 of \d+ lines? found$/)).toBeVisible();
  await page.getByLabel("Search the log").fill("");
  await page.getByLabel("File").selectOption("matchyard/output.log");
  await expect(lines(page).locator(".file")).toHaveCount(0);
  await page.getByLabel("Wrap lines").uncheck();
  await page.getByRole("button", { name: "Follow" }).click();
  await expect.poll(() => lines(page).evaluate((e) => e.scrollWidth - e.clientWidth)).toBeGreaterThan(1000);
  expect(await lines(page).locator(".line").count()).toBeLessThan(80); // however many lines there are
  // A screen reader hears of new lines, and not of each.
  await expect(page.locator("[aria-live=polite]").filter({ hasText: /\d+ new log lines, the last: / })).toHaveCount(1, { timeout: 15_000 });
  await well();
});

test("the log of a game, as a picture", async ({ page }) => {
  test.skip(!images, "no picture is wanted");
  await open(page, chat, `#/game/${encodeURIComponent(chat.game)}`);
  await page.getByLabel("Search the log").fill("tick 2");
  await page.waitForTimeout(5000);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${images}/log.png`, fullPage: true });
});

test("the log of a game without an agent is said to be elsewhere", async ({ page }) => {
  const well = strict(page);
  await open(page, servers.one, `#/game/${encodeURIComponent(servers.one.game)}`);
  await expect(page.getByRole("region", { name: "Log" })).toContainText(/is an Anywhere fleet: no agent of this server is on its computes, so the log can only be read where it is, on "rack-1"/);
  await well();
});

test("the log of a game needs a key in production", async ({ page }) => {
  await open(page, servers.serve, `#/game/${encodeURIComponent(servers.serve.game)}`);
  const panel = page.getByRole("region", { name: "Log" });
  await expect(panel).toContainText("Sign in with an access key");
  await panel.getByRole("button", { name: "Sign in…" }).click();
  await page.getByLabel(/Access key/).fill(servers.serve.key);
  await page.getByLabel(/Secret/).fill(servers.serve.secret);
  await page.getByRole("dialog").getByRole("button", { name: /Sign in/ }).click();
  await expect(panel).toContainText("is an Anywhere fleet");
});
