import { readFileSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// The servers are started by conformance/console_test.go, which says where they are.
const servers = JSON.parse(readFileSync(process.env.MATCHYARD_SERVERS!, "utf8")) as { chromium: string };

export default defineConfig({
  testDir: "e2e",
  timeout: 60_000,
  workers: 2,
  fullyParallel: true,
  retries: 0,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    launchOptions: { executablePath: servers.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] },
    viewport: { width: 1360, height: 860 },
    timezoneId: "UTC",
    trace: "off",
  },
});
