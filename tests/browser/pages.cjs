// Opens pages of the built book in a headless Chromium and reports what a reader would meet.
//
//   node pages.cjs '{"task": "check", "chromium": PATH, "site": FOLDER, "pages": ["book/intro.html", …], "views": ["light", …]}'
//   node pages.cjs '{"task": "weigh", …, "pages": […]}'
//   node pages.cjs '{"task": "search", …, "query": "contrast"}'
//   node pages.cjs '{"task": "screenshot", …, "pages": [one page], "out": FILE, "scheme": "light", "width": 1280, "height": 800}'
//   node pages.cjs '{"task": "print", …, "source": HTML FILE, "out": PDF FILE, "numbers": [PROGRAM, …]}'
//
// Prints one JSON object. Pages are opened as files, as a reader without a network would, and in the dark view
// through a server on 127.0.0.1, as from a web site. Every other host is refused.
const { execFileSync } = require("child_process");
const { fileURLToPath, pathToFileURL } = require("url");
const fs = require("fs");
const http = require("http");
const path = require("path");
const { chromium } = require("playwright-core");

const job = JSON.parse(process.argv[2]);
const now = (text) => process.stderr.write(`now: ${text}\n`);
const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
const address = (page, rest = "") => pathToFileURL(path.join(job.site, page)).href + rest;

const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json", svg: "image/svg+xml", png: "image/png", woff2: "font/woff2", woff: "font/woff", ttf: "font/ttf", csv: "text/csv" };
let origin = null; // of the server, once it runs

// The site on a free port of this machine.
function serve() {
  const server = http.createServer((request, response) => {
    const name = path.join(job.site, decodeURIComponent(new URL(request.url, "http://site").pathname));
    fs.readFile(name, (error, bytes) => {
      response.writeHead(error ? 404 : 200, { "Content-Type": TYPES[path.extname(name).slice(1)] || "application/octet-stream" });
      response.end(error ? "" : bytes);
    });
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => { origin = `http://127.0.0.1:${server.address().port}/`; done(server); }));
}

// A tab that writes down every request, error and console message.
async function tab(browser, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(600000); // a busy machine is slow, not wrong
  const page = await context.newPage();
  const seen = { remote: [], failed: [], errors: [] };
  page.on("request", (r) => { if (!/^(file|data|blob|about):/.test(r.url()) && !(origin && r.url().startsWith(origin))) seen.remote.push(r.url()); });
  // Scripts that a page without JavaScript does not fetch have not failed.
  page.on("requestfailed", (r) => options.javaScriptEnabled !== false && seen.failed.push(r.url() + " " + (r.failure() || {}).errorText));
  page.on("console", (m) => { if (m.type() === "error") seen.errors.push(m.text()); });
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  return { context, page, seen };
}

async function settle(page) {
  await page.waitForLoadState("load");
  await page.evaluate(async () => {
    if (window.MathJax && window.MathJax.startup) await window.MathJax.startup.promise;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((i) => (i.complete ? null : new Promise((done) => { i.onload = i.onerror = done; }))));
  });
}

// What can be read off a page once it stands still.
function measure() {
  const article = document.querySelector("article") || document.body;
  const shown = (e) => e.getClientRects().length > 0;
  const rgb = (text) => (text.match(/[\d.]+/g) || []).slice(0, 3).map(Number);
  const luminance = (color) => {
    const [r, g, b] = color.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ink = luminance(rgb(getComputedStyle(article.querySelector("p, li, h1") || article).color));
  const ground = luminance(rgb(getComputedStyle(document.body).backgroundColor));
  const wide = [...article.querySelectorAll("*")].filter((e) => {
    if (!shown(e) || e.getBoundingClientRect().right <= window.innerWidth + 1) return false;
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(p).overflowX)) return false;
    return true;
  });
  return {
    theme: document.documentElement.dataset.theme,
    contrast: (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05),
    dark_ground: ground < 0.2,
    equations: article.querySelectorAll("div.math, span.math").length,
    rendered: article.querySelectorAll("div.math mjx-container, span.math mjx-container").length,
    math_errors: [...article.querySelectorAll("mjx-merror")].map((e) => e.textContent.slice(0, 120)),
    images: document.images.length,
    no_alt: [...document.images].filter((i) => !(i.alt || "").trim() && i.getAttribute("aria-hidden") !== "true" && i.getAttribute("role") !== "presentation").map((i) => i.src.slice(-80)),
    not_loaded: [...document.images].filter((i) => shown(i) && i.naturalWidth === 0).map((i) => i.src.slice(-80)),
    svg_without_name: [...article.querySelectorAll("svg")].filter((s) => shown(s) && !s.closest("a,button") && s.getAttribute("aria-hidden") !== "true" && !s.getAttribute("aria-label") && !s.getAttribute("aria-labelledby") && !s.querySelector(":scope > title")).length,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    too_wide: wide.slice(0, 5).map((e) => e.tagName.toLowerCase() + "." + String(e.className.baseVal ?? e.className).replaceAll(" ", ".")),
    copy_buttons: article.querySelectorAll("button.copybtn").length,
    code_blocks: [...article.querySelectorAll("div.highlight pre")].length,
    open_solutions: [...article.querySelectorAll(".tag_solution details[open]")].length,
    solutions: article.querySelectorAll(".tag_solution details").length,
    huge_icons: [...document.querySelectorAll("svg.svg-inline--fa, svg.sd-octicon")].filter((s) => s.getBoundingClientRect().height > 48).length,
    empty_links: [...document.querySelectorAll("a[href='']")].length,
  };
}

// axe-core's findings: rule, impact, and where.
async function axe(page) {
  await page.addScriptTag({ path: require.resolve("axe-core/axe.min.js") });
  return page.evaluate(async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await window.axe.run(document, { preload: false, resultTypes: ["violations"], runOnly: { type: "tag", values: tags } });
    return violations.flatMap(({ id, impact, nodes }) => nodes.map((n) => ({
      rule: id, impact, place: n.target.flat().join(" "), html: n.html.slice(0, 200), why: (n.failureSummary || "").split("\n").slice(1, 3).join(" ").trim(),
    })));
  });
}

// Each living figure: it is there, and the keyboard changes it.
async function figures(page) {
  const found = [];
  for (const figure of await page.$$("figure:has([data-sc-figure])")) {
    await figure.evaluate((f) => f.scrollIntoView({ behavior: "instant", block: "center" }));
    // Attached comes before drawn: until then no control shows its value.
    const alive = await figure.waitForSelector(".sc-living .sc-stage > *", { timeout: 120000, state: "attached" }).then(() => true, () => false);
    await page.waitForTimeout(100);
    const state = () => figure.evaluate((f) => {
      const living = f.querySelector(".sc-living");
      if (!living) return "";
      const values = [...living.querySelectorAll("input, select, textarea")].map((i) => i.value + i.checked).join();
      return [living.querySelector(".sc-stage").innerHTML, living.querySelector(".sc-tip")?.textContent, living.querySelector(".sc-says")?.textContent, values].join("|");
    });
    const before = await state();
    const way = await figure.evaluate((f) => {
      const living = f.querySelector(".sc-living");
      const first = (query) => living && [...living.querySelectorAll(query)].find((e) => e.getClientRects().length && !e.disabled);
      const range = first("input[type=range]"), radio = first("input[type=radio]:checked"), plot = first(".sc-plot[tabindex='0'], .sc-drag[tabindex='0'], [role=slider]"), button = first("button, select, input");
      const target = range || radio || plot || button;
      if (!target) return null;
      target.focus();
      if (target === range) return Number(range.value) < Number(range.max) ? "ArrowRight" : "ArrowLeft";
      if (target === button && target !== radio) return "Space"; // on a chosen radio it changes nothing
      return "ArrowRight";
    });
    let changed = false;
    for (const wait of [60, 400, 2000, 8000]) { // only a busy machine needs the longer ones
      if (!way || !alive || changed) break;
      await page.keyboard.press(way);
      await page.waitForTimeout(wait);
      changed = (await state()) !== before;
    }
    found.push(await figure.evaluate((f, seen) => ({
      name: f.id || f.querySelector("[data-figure]")?.dataset.figure, ...seen,
      error: f.querySelector(".sc-error")?.textContent || "", says: (f.querySelector(".sc-says")?.textContent || f.querySelector(".sc-plot, .sc-stage [aria-label]")?.getAttribute("aria-label") || "").slice(0, 80),
      small: [...f.querySelectorAll(".sc-living button, .sc-living select, .sc-living input[type=range]")].filter((b) => b.getClientRects().length && b.getBoundingClientRect().height < 23.5).length,
    }), { alive, changed, way }));
  }
  return found;
}

// The reference of a page's first citation, by keyboard and by pointer.
async function citation(page) {
  const links = await page.$$(".bibtex-citation a.reference");
  if (!links.length) return null;
  const box = page.locator(".sc-reference"), shown = () => box.isVisible();
  const report = { citations: links.length, titles: await page.locator(".bibtex-citation a.reference[title]").count() };
  await links[0].evaluate((e) => e.scrollIntoView({ behavior: "instant", block: "center" }));
  await page.keyboard.press("Shift");
  await links[0].focus();
  report.focus = await shown();
  report.text = await box.textContent();
  report.described = (await links[0].getAttribute("aria-describedby")) === (await box.getAttribute("id"));
  await page.keyboard.press("Escape");
  report.escaped = !(await shown());
  await links[0].evaluate((e) => e.blur());
  await links[0].hover();
  await box.waitFor({ state: "visible", timeout: 60000 }).catch(() => {});
  report.hover = await shown();
  if (report.hover) {
    await box.hover();
    await page.waitForTimeout(400);
    report.stays = await shown();
    await page.mouse.move(2, 2);
    await box.waitFor({ state: "hidden", timeout: 60000 }).catch(() => {});
    report.leaves = !(await shown());
  }
  return report;
}

// The page as paper would have it, at the width of A4 between its margins.
async function paper(page) {
  await page.emulateMedia({ media: "print" });
  await page.setViewportSize({ width: 658, height: 980 });
  await page.waitForTimeout(100);
  const report = await page.evaluate(() => {
    const shown = (e) => Boolean(e) && e.getClientRects().length > 0 && e.getBoundingClientRect().height > 0;
    const name = (e) => e.tagName.toLowerCase() + "." + String(e.className.baseVal ?? e.className).replaceAll(" ", ".");
    const plates = [...document.querySelectorAll("figure .sc-plate")];
    return {
      cut_off: [...document.querySelectorAll("article pre")].filter((e) => shown(e) && (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1)).length,
      no_picture: plates.filter((e) => !shown(e.querySelector("img.only-light")) || shown(e.querySelector("img.only-dark"))).length,
      living: [...document.querySelectorAll(".sc-living")].filter(shown).length,
      screen_only: [...document.querySelectorAll("button, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, a.headerlink")].filter(shown).map(name).slice(0, 5),
      title: shown(document.querySelector("article h1")),
    };
  });
  await page.emulateMedia({ media: "screen" });
  return report;
}

// Without JavaScript: each figure is its static picture.
function still() {
  const shown = (e) => Boolean(e) && e.getClientRects().length > 0 && e.getBoundingClientRect().height > 0;
  const plates = [...document.querySelectorAll("figure .sc-plate")];
  return {
    figures: plates.length,
    no_picture: plates.filter((e) => { const seen = [...e.querySelectorAll("img")].filter(shown); return seen.length !== 1 || !seen[0].alt.trim() || !seen[0].naturalWidth; }).length,
    words: (document.querySelector("article") || document.body).innerText.length,
  };
}

// Passes by each picture, as a reader who scrolls does, and waits for those that show.
async function pass(page) {
  for (const image of await page.$$("img[loading=lazy]"))
    await image.evaluate((e) => e.scrollIntoView({ behavior: "instant", block: "center" }));
  const there = () => [...document.querySelectorAll("img[loading=lazy]")].every((e) => !e.getClientRects().length || (e.complete && e.naturalWidth));
  for (let wait = 0; wait < 100 && !(await page.evaluate(there)); wait++) await page.waitForTimeout(100);
}

// Every page in four views. One load serves all checks of a view; two pages are open at a time.
async function check(browser) {
  await serve();
  const report = {}, queue = [...job.pages];
  const wide = { viewport: { width: 1280, height: 900 } };
  const views = {
    light: { ...wide, colorScheme: "light" }, dark: { ...wide, colorScheme: "dark" },
    phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true, isMobile: true },
    plain: { ...wide, colorScheme: "light", javaScriptEnabled: false },
  };
  async function one(name) {
    report[name] = {};
    for (const [view, options] of Object.entries(views)) {
      if (job.views && !job.views.includes(view)) continue;
      const { context, page, seen } = await tab(browser, options);
      await page.goto(view === "dark" ? origin + name : address(name));
      if (view === "plain") {
        await pass(page);
        report[name].plain = { ...(await page.evaluate(still)), ...seen };
      } else {
        await settle(page);
        const all = await page.evaluate(measure);
        if (view === "light" || view === "dark") all.axe = await axe(page);
        if (view === "light") {
          all.living = await figures(page);
          all.citation = await citation(page);
          all.paper = await paper(page);
        }
        report[name][view] = { ...all, ...seen };
      }
      await context.close();
    }
  }
  const work = async () => { while (queue.length) await one(queue.shift()); };
  await Promise.all([work(), work()]);
  return report;
}

// What a page has loaded, made and drawn before its reader scrolls, opened as a file; and that a far figure comes with scrolling.
async function weigh(browser) {
  const report = {};
  for (const name of job.pages) {
    const { context, page, seen } = await tab(browser, { viewport: { width: 1280, height: 900 }, colorScheme: "light" });
    const files = new Map();
    page.on("request", (r) => {
      const file = r.url().startsWith("file:") && fileURLToPath(r.url().split(/[?#]/)[0]);
      if (file) files.set(path.relative(job.site, file), fs.existsSync(file) ? fs.statSync(file).size : 0);
    });
    const session = await context.newCDPSession(page);
    await session.send("Performance.enable");
    await page.goto(address(name));
    await page.waitForLoadState("load");
    await page.evaluate(async () => {
      if (window.MathJax && window.MathJax.startup) await window.MathJax.startup.promise;
      await new Promise((done) => setTimeout(done, 800));
    });
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (key) => metrics.find((m) => m.name === key).value;
    const before = await page.evaluate(() => ({
      elements: document.querySelectorAll("*").length, figures: document.querySelectorAll("[data-sc-figure]").length,
      awake: document.querySelectorAll(".sc-living").length,
      icons: [...document.fonts].filter((f) => /Awesome/.test(f.family) && f.status === "loaded").length,
      foldable: document.querySelectorAll("details.hide").length,
    }));
    const loaded = Object.fromEntries(files);
    const last = page.locator("[data-sc-figure]").last();
    let drawn = null;
    if (before.figures) {
      await last.evaluate((e) => e.closest("figure").scrollIntoView({ behavior: "instant", block: "center" }));
      drawn = await last.locator(".sc-living .sc-stage > *").first().waitFor({ state: "attached", timeout: 120000 }).then(() => true, () => false);
    }
    // The reader prints: code that is folded stays folded, what else is folded opens, and afterwards it is as it was.
    await page.emulateMedia({ media: "print" });
    const print = await page.evaluate(() => {
      const shown = (e) => e.getClientRects().length > 0, all = (query) => [...document.querySelectorAll(query)];
      const open = () => all("article details").map((e) => e.open).join();
      const first = open();
      dispatchEvent(new Event("beforeprint"));
      const found = {
        code: all("article details.hide").filter((e) => e.open || shown(e)).length,
        folded: all("article details:not(.hide, .sc-quiz-answer)").filter((e) => !e.open).length,
        lazy: all("img.only-light[loading=lazy]").length,
      };
      dispatchEvent(new Event("afterprint"));
      return { ...found, restored: open() === first };
    });
    report[name] = { bytes: Object.values(loaded).reduce((a, b) => a + b, 0), files: loaded, nodes: of("Nodes"), seconds: of("TaskDuration"), ...before, drawn, print, ...seen };
    await context.close();
  }
  return report;
}

async function search(browser) {
  const { context, page, seen } = await tab(browser, { viewport: { width: 1280, height: 900 } });
  await page.goto(address("search.html", "?q=" + encodeURIComponent(job.query)));
  await page.waitForFunction(() => /found|did not match/i.test((document.querySelector("#search-results") || document.body).textContent), null, { timeout: 120000 });
  await page.waitForTimeout(500);
  const hits = await page.$$eval("#search-results ul.search li a", (links) => links.map((a) => a.getAttribute("href")));
  const excerpts = await page.$$eval("#search-results ul.search li p.context", (texts) => texts.map((p) => p.textContent));
  await context.close();
  return { hits, excerpts, ...seen };
}

async function screenshot(browser) {
  const { context, page, seen } = await tab(browser, {
    viewport: { width: job.width || 1280, height: job.height || 800 }, colorScheme: job.scheme || "light", deviceScaleFactor: job.scale || 1,
  });
  await page.goto(address(job.pages[0]));
  await settle(page);
  // Living figures are not as high as their pictures: they are there before a place is looked for.
  await page.evaluate(() => window.SC_WAKE && SC_WAKE());
  await page.waitForTimeout(500);
  if (job.anchor)
    await page.evaluate(([id, above]) => {
      document.documentElement.style.scrollBehavior = "auto";
      window.scrollTo(0, document.getElementById(id).getBoundingClientRect().top + window.scrollY - above);
    }, [job.anchor, job.offset || 0]);
  await page.waitForTimeout(1000);
  await page.screenshot({ path: job.out, fullPage: Boolean(job.full) });
  await context.close();
  return seen;
}

// What of a page's text and pictures does not fit: it leaves the page, or a box that hides what leaves it.
function cutOff() {
  const clipping = new Map(); // element: the boxes around it that hide what leaves them
  const around = (e) => {
    if (!e || e === document.body) return [];
    if (!clipping.has(e)) {
      const style = getComputedStyle(e), hides = style.display !== "inline" && (style.overflowX !== "visible" || style.overflowY !== "visible");
      clipping.set(e, hides ? [...around(e.parentElement), e] : around(e.parentElement));
    }
    return clipping.get(e);
  };
  const left = -1, right = document.documentElement.clientWidth + 1, found = [], range = document.createRange();
  const look = (e, box, says) => {
    if (!box.width || !box.height) return;
    const out = box.left < left || box.right > right || around(e).some((hider) => {
      const room = hider.getBoundingClientRect();
      return box.left < room.left - 1 || box.right > room.right + 1 || box.top < room.top - 2 || box.bottom > room.bottom + 2;
    });
    if (out) found.push(`${e.tagName} ${e.closest("[id]")?.id}: ${says.trim().slice(0, 60)}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode, e = text.parentElement;
    // Text for screen readers alone is cut off on purpose.
    if (!text.data.trim() || e.closest("script, style, mjx-assistive-mml, .visually-hidden, .sr-only")) continue;
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) look(e, box, text.data);
  }
  for (const e of document.querySelectorAll("table, mjx-container, mjx-c, img, svg, pre")) look(e, e.getBoundingClientRect(), e.alt || e.textContent);
  return [...new Set(found)];
}

// One HTML document as a PDF. What is wider than the paper is set smaller, never cut off. The program `numbers`
// reads from the first print where the chapters start, and its answer is printed into the contents.
async function print(browser) {
  const { context, page, seen } = await tab(browser, { viewport: { width: job.width || 658, height: 980 }, colorScheme: "light" });
  await page.emulateMedia({ media: "print" });
  now("opening all of it in the browser, formulas and pictures");
  await page.goto(pathToFileURL(job.source).href);
  await settle(page);
  now("fitting what is wider than the paper");
  const shrunk = await page.evaluate(() => {
    for (const place of document.querySelectorAll("[data-page]")) place.textContent = "000";
    const found = [];
    for (const one of document.querySelectorAll(".bd-article table, .bd-article mjx-container[display=true], .bd-article .sc-figure img")) {
      const room = one.closest("td, li, dd, .admonition, figure, section").clientWidth;
      const wide = Math.max(one.scrollWidth, one.getBoundingClientRect().width);
      if (wide <= room + 1) continue;
      one.style.zoom = Math.max(0.4, room / wide - 0.01);
      found.push([one.tagName, Math.round((100 * room) / wide)]);
    }
    return found;
  });
  const cut_off = await page.evaluate(cutOff);
  const options = { path: job.out, preferCSSPageSize: true, printBackground: true, outline: true, tagged: true };
  now("printing");
  await page.pdf(options);
  if (job.numbers) {
    now("reading where the chapters start");
    const [program, ...rest] = job.numbers;
    const numbers = JSON.parse(execFileSync(program, rest, { encoding: "utf8" }));
    await page.evaluate((found) => { for (const place of document.querySelectorAll("[data-page]")) place.textContent = found[place.dataset.page]; }, numbers);
    now("printing again, with the numbers of the pages in the contents");
    await page.pdf(options);
  }
  await context.close();
  return { ...seen, shrunk, cut_off };
}

(async () => {
  const browser = await chromium.launch({ executablePath: job.chromium, args: ARGS });
  const result = await { check, weigh, search, screenshot, print }[job.task](browser);
  await browser.close();
  process.stdout.write(JSON.stringify(result), () => process.exit(0)); // a pipe takes it in parts
})().catch((error) => { console.error(error); process.exit(1); });
