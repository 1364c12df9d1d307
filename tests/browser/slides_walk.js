// Goes through a deck slide by slide and measures each; run by tests/browser/living.py.
async (page) => {
  await page.waitForSelector("html[data-deck=ready]", { state: "attached" });
  const out = [], slides = await page.evaluate(() => Reveal.getTotalSlides());
  for (let i = 0; i < slides; i++) {
    await page.evaluate((i) => Reveal.slide(i, 0, 99), i);
    await page.waitForFunction(() => {
      const stage = Reveal.getCurrentSlide().querySelector(".stage:has([data-sc-figure])");
      return !stage || Number(stage.dataset.fits) > 0;
    });
    await page.waitForTimeout(100);
    out.push(await page.evaluate(() => {
      const slide = Reveal.getCurrentSlide(), room = slide.getBoundingClientRect(), over = [];
      // What scrolls in an enlarged stage, is cut by a figure's own frame or is for readers' software alone is not cut off.
      const apart = "aside, [data-large] > *, [clip-path], .sc-says, .sc-tip, mjx-assistive-mml";
      for (const e of slide.querySelectorAll("*")) {
        const r = e.getBoundingClientRect();
        if (!r.width || !r.height || e.closest(apart) || (e.tagName !== "svg" && e.querySelector("[clip-path]"))) continue;
        if (r.left < room.left - 1 || r.right > room.right + 1 || r.top < room.top - 1 || r.bottom > room.bottom + 1) over.push(e.tagName);
      }
      const stage = slide.querySelector(".stage"), letters = [...slide.querySelectorAll("p, li, h1, h2")].filter((e) => !e.closest("aside, .stage, .from"));
      return {
        title: (slide.querySelector("h1, h2") || slide).textContent, over,
        alive: !stage || !!stage.querySelector(".sc-living"),
        errors: slide.querySelectorAll("mjx-merror, .sc-error").length,
        raw: [...slide.querySelectorAll(".math")].filter((e) => !e.querySelector("mjx-container")).length,
        small: Math.min(99, ...letters.map((e) => parseFloat(getComputedStyle(e).fontSize))),
        large: stage ? stage.dataset.large !== undefined || Number(stage.dataset.fits) >= 0.7 : true,
      };
    }));
  }
  return out;
}
