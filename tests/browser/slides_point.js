// Points at a bar of an enlarged figure, opens the speaker's window, turns a slide, turns dark; run by living.py.
async (page) => {
  await page.waitForSelector("html[data-deck=ready]", { state: "attached" });
  const at = await page.evaluate(() => Reveal.getSlides().findIndex((s) => s.querySelector("#fig-03-errors")));
  await page.evaluate((i) => Reveal.slide(i), at);
  await page.waitForFunction(() => Number(Reveal.getCurrentSlide().querySelector(".stage").dataset.fits) > 1.2);
  await page.waitForTimeout(300);
  // The longest bar is the first row's; near its right end nothing unscaled would find it.
  const bar = await page.evaluate(() => [...Reveal.getCurrentSlide().querySelectorAll("svg rect")].map((e) => e.getBoundingClientRect()).filter((r) => r.height < 100).sort((a, b) => b.width - a.width).map((r) => [r.x + 0.95 * r.width, r.y + 0.8 * r.height])[0]);
  await page.mouse.move(bar[0] - 5, bar[1]);
  await page.mouse.move(...bar);
  await page.waitForTimeout(150);
  const tip = await page.evaluate(() => Reveal.getCurrentSlide().querySelector(".sc-tip").innerText);
  const [speaker] = await Promise.all([page.context().waitForEvent("page"), page.keyboard.press("s")]);
  await speaker.waitForTimeout(300);
  const first = await speaker.evaluate(() => document.body.innerText);
  await page.bringToFront();
  await page.keyboard.press("PageDown");
  await speaker.waitForTimeout(300);
  const second = await speaker.evaluate(() => document.body.innerText);
  await page.keyboard.press("d");
  return { tip, first, second, theme: await page.evaluate(() => document.documentElement.dataset.theme) };
}
