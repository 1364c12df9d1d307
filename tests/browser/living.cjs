// Opens pages of living figures (Figure.save) in a headless Chromium and does with them what a job says.
//
//   echo '{"chromium": PATH, "jobs": [{"file": PATH, "code": "async (page, tools) => …", "width": 800, "scheme": "light",
//          "touch": false, "reduced": false, "javascript": true}]}' | node living.cjs
//
// Prints a list: {result, remote (requests that leave the machine), errors (console and page), dialogs}.
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

// What most jobs need.
function toolsFor(page) {
  return {
    // Resolves when the figure stands still: two frames without a further drawing.
    settle: () => page.evaluate(async () => {
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const draws = () => [...document.querySelectorAll(".sc-living")].map((e) => e.dataset.draws).join();
      for (let before = null, i = 0; i < 60 && before !== draws(); i++) { before = draws(); await frame(); await frame(); }
      await new Promise((done) => setTimeout(done, 160)); // the live region speaks with a delay
    }),
    // The picture as text: what it draws, to compare before and after.
    picture: () => page.evaluate(() => [...document.querySelectorAll(".sc-stage")].map((e) => e.innerHTML).join()),
    says: () => page.evaluate(() => [...document.querySelectorAll(".sc-says")].map((e) => e.textContent).join(" ").trim()),
    redraw: () => page.evaluate(() => Math.max(...[...document.querySelectorAll(".sc-living")].map((e) => Number(e.dataset.redraw || 0)))),
    // Sets a range control (by its place) to a share of its way, as a drag of its thumb does.
    slide: async (share, index = 0) => {
      const box = await page.locator(".sc-living input[type=range]").nth(index).boundingBox();
      const inset = 8, y = box.y + box.height / 2, to = box.x + inset + share * (box.width - 2 * inset);
      await page.mouse.move(box.x + box.width / 2, y);
      await page.mouse.down();
      await page.mouse.move(to, y, { steps: 4 });
      await page.mouse.up();
    },
  };
}

async function one(browser, job) {
  const context = await browser.newContext({
    viewport: { width: job.width || 800, height: job.height || 900 }, colorScheme: job.scheme || "light",
    hasTouch: Boolean(job.touch), isMobile: Boolean(job.touch), javaScriptEnabled: job.javascript !== false,
    reducedMotion: job.reduced ? "reduce" : "no-preference", deviceScaleFactor: job.scale || 1,
  });
  context.setDefaultTimeout(180000); // a busy machine is slow, not wrong
  const page = await context.newPage();
  const seen = { remote: [], errors: [], dialogs: [] };
  page.on("request", (r) => { if (!/^(file|data|blob|about):/.test(r.url())) seen.remote.push(r.url()); });
  page.on("console", (m) => { if (m.type() === "error") seen.errors.push(m.text()); });
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("dialog", (d) => { seen.dialogs.push(d.message()); d.dismiss(); });
  await page.route(/^https?:/, (route) => route.abort());
  await page.goto(pathToFileURL(job.file).href);
  await page.waitForLoadState("load");
  const tools = toolsFor(page);
  if (job.javascript !== false) await tools.settle();
  const result = job.code ? await eval(`(${job.code})`)(page, tools) : null;
  if (job.shot) await page.screenshot({ path: job.shot, fullPage: true });
  await context.close();
  return { result, ...seen };
}

let input = "";
process.stdin.on("data", (part) => { input += part; });
process.stdin.on("end", async () => {
  try {
    const { chromium: executablePath, jobs } = JSON.parse(input);
    const browser = await chromium.launch({ executablePath, args: ARGS });
    const out = [];
    for (const job of jobs) out.push(await one(browser, job));
    await browser.close();
    process.stdout.write(JSON.stringify(out));
  } catch (error) { console.error(error); process.exit(1); }
});
