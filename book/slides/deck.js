// Starts a deck: mathematics first, then reveal.js, then the figures, each as large as its slide allows. Plain script:
// a page opened as a file loads no modules.
(function () {
  "use strict";
  const root = document.documentElement, printing = /print-pdf|view=print/.test(location.search);
  const LARGEST = 1.75, SMALL = 1.1, UNREAD = 0.7; // a figure is drawn with letters of 12 pixels
  const WIDTHS = [720, 800, 900, 1000, 1160];

  // --- Light or dark: as the system says, until somebody presses D --------------------------------
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { root.dataset.theme = system.matches && !printing ? "dark" : "light"; };
  const turn = () => { system.removeEventListener("change", follow); root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; };
  follow();
  system.addEventListener("change", follow);

  // --- A figure fills its stage -------------------------------------------------------------------
  // The book draws for a column of text, and a room reads from afar. A figure is drawn at several widths, and stays
  // at the one that its stage can enlarge most; `SC` divides a pointer's place by what it is enlarged.
  const frames = (n) => new Promise((done) => { const next = () => (n-- > 0 ? requestAnimationFrame(next) : done()); next(); });
  function place(stage) {
    const figure = stage.querySelector("figure"), high = figure.offsetHeight, wide = figure.offsetWidth;
    if (!high || !stage.clientHeight) return 0;
    const all = stage.clientWidth / wide, k = stage.dataset.large === undefined ? Math.min(all, stage.clientHeight / high, LARGEST) : Math.min(all, LARGEST);
    figure.style.transform = `translateX(${(stage.clientWidth - k * wide) / 2}px) scale(${k})`;
    return k;
  }
  // A figure whose letters are small on its slide has a button that lets it outgrow the stage.
  function enlarge(stage) {
    const slide = stage.closest("section");
    let button = slide.querySelector(".enlarge");
    if (Number(stage.dataset.fits) >= SMALL) { if (button) button.remove(); return; }
    if (button) return;
    button = document.createElement("button");
    button.className = "enlarge";
    button.type = "button";
    const say = () => { button.textContent = stage.dataset.large === undefined ? "Larger (Z)" : "Whole (Z)"; };
    const figure = stage.querySelector("figure"), whole = figure.style.width;
    const turn = async () => {
      if (stage.dataset.large === undefined) stage.dataset.large = ""; else { delete stage.dataset.large; stage.scrollTop = 0; }
      figure.style.width = stage.dataset.large === undefined ? whole : `${WIDTHS[0]}px`;
      say();
      await frames(4);
      place(stage);
    };
    button.addEventListener("click", turn);
    say();
    slide.append(button);
    if (Number(stage.dataset.fits) < UNREAD) turn();
  }
  async function fit(stage) {
    const figure = stage.querySelector("figure");
    if (stage.dataset.fits === "busy") return;
    stage.dataset.fits = "busy";
    let best = [0, WIDTHS[0]];
    for (const width of figure.classList.contains("sc-is-living") ? WIDTHS : WIDTHS.slice(0, 1)) {
      figure.style.width = `${width}px`;
      await frames(4); // the figure sees its new width and is drawn again
      const k = place(stage);
      if (k > best[0] + 0.02) best = [k, width];
    }
    figure.style.width = `${best[1]}px`;
    await frames(4);
    place(stage);
    stage.dataset.fits = best[0].toFixed(2);
    enlarge(stage);
  }
  function watch(stage) {
    const figure = stage.querySelector("figure");
    let alive = false;
    const seen = () => {
      if (!stage.clientHeight) return;
      if (!alive && figure.classList.contains("sc-is-living")) { alive = true; fit(stage); }
      else if (stage.dataset.fits !== "busy") place(stage);
    };
    new ResizeObserver(seen).observe(figure); // drawn, or taller since somebody has used it
    new MutationObserver(seen).observe(figure, { attributes: true, attributeFilter: ["class"] });
    seen();
  }

  // --- An equation that is wider than its slide gets smaller letters -------------------------------
  function narrow() {
    for (const box of document.querySelectorAll(".equation")) {
      const tex = box.querySelector(".tex"), inner = tex.querySelector("mjx-math") || tex;
      const wide = inner.getBoundingClientRect().width, room = tex.getBoundingClientRect().width;
      if (wide > room) box.style.fontSize = `${(parseFloat(getComputedStyle(box).fontSize) * room * 0.98) / wide}px`;
    }
  }

  // --- The speaker's window: note, next slide, clock and plan ---------------------------------------
  // reveal.js has one that asks its slides by address, which two pages opened as files may not do. This one is a
  // window without an address, written from here.
  const SPEAKER = `
    html { color-scheme: light; background: #fff; color: #1f2328; } html[data-theme="dark"] { color-scheme: dark; background: #121212; color: #e6e8eb; }
    body { margin: 0; padding: 1rem 1.5rem; font: 24px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif; }
    #bar { margin: 0; font-size: 18px; } #clock { font-size: 48px; font-variant-numeric: tabular-nums; } #title { margin: 0.6rem 0; font-size: 30px; }
    #note li { margin: 0.4em 0; } #upcoming { opacity: 0.8; } button { padding: 4px 12px; font: inherit; }`;
  let speaker = null, since = 0;
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const planned = (slides) => slides.reduce((sum, slide) => sum + Number(slide.dataset.timing || 0), 0);
  function tell() {
    if (!speaker || speaker.closed) return;
    const slides = Reveal.getSlides(), at = slides.indexOf(Reveal.getCurrentSlide()), here = slides[at], next = slides[at + 1];
    const name = (slide) => (slide ? (slide.querySelector("h1, h2") || slide).textContent.trim() : "the end");
    const find = (id) => speaker.document.getElementById(id), note = here.querySelector("aside.notes");
    find("title").textContent = name(here);
    find("next").textContent = name(next);
    find("note").replaceChildren(...(note ? [...note.childNodes].map((node) => speaker.document.importNode(node, true)) : []));
    // Fonts of formulas cannot be loaded there; the browser draws MathML by itself.
    for (const formula of find("note").querySelectorAll("mjx-container")) { const math = formula.querySelector("math"); if (math) formula.replaceWith(math); }
    find("note").scrollTop = 0;
    find("place").textContent = `${at + 1} of ${slides.length}`;
    speaker.document.documentElement.dataset.theme = root.dataset.theme;
    tick();
  }
  function tick() {
    if (!speaker || speaker.closed) return;
    const slides = Reveal.getSlides(), at = slides.indexOf(Reveal.getCurrentSlide()), spent = since ? (Date.now() - since) / 1000 : 0;
    // Planned from where the clock was started to the end of this slide, and to the end of its chapter.
    const first = Number(speaker.first || 0), starts = slides.findIndex((slide, i) => i > at && slide.dataset.chapter !== slides[at].dataset.chapter);
    speaker.document.getElementById("clock").textContent = since ? clock(spent) : "0:00";
    speaker.document.getElementById("plan").textContent = `planned ${clock(planned(slides.slice(first, at + 1)))} to the end of this slide, ${clock(planned(slides.slice(first, starts < 0 ? undefined : starts)))} to the end of the chapter`;
  }
  function openSpeaker() {
    if (speaker && !speaker.closed) { speaker.focus(); return; }
    speaker = open("", "sc-speaker", "width=900,height=700");
    if (!speaker) return; // the browser lets no window open; the address with ?notes has the notes
    const doc = speaker.document, set = (tag, id, text = "") => { const node = doc.createElement(tag); node.id = id; node.textContent = text; return node; };
    doc.title = `Notes: ${document.title}`;
    doc.documentElement.lang = "en";
    doc.head.append(set("style", "look", SPEAKER)); // it may load no file
    const bar = set("p", "bar"), start = set("button", "start", "Start the clock"), upcoming = set("p", "upcoming", "Next: ");
    bar.append(set("b", "clock"), " ", start, " ", set("span", "place"), doc.createElement("br"), set("span", "plan"));
    upcoming.append(set("b", "next"));
    doc.body.replaceChildren(bar, set("h1", "title"), set("div", "note"), upcoming);
    start.addEventListener("click", () => { since = Date.now(); speaker.first = Reveal.getSlides().indexOf(Reveal.getCurrentSlide()); start.textContent = "Start again"; tick(); });
    speaker.addEventListener("keydown", (event) => {
      if (event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key)) return;
      const step = { ArrowRight: "next", ArrowDown: "next", PageDown: "next", " ": "next", ArrowLeft: "prev", ArrowUp: "prev", PageUp: "prev" }[event.key];
      if (step) { event.preventDefault(); Reveal[step](); }
    });
    speaker.setInterval(tick, 1000);
    tell();
  }

  async function begin() {
    if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise.catch(() => null);
    narrow();
    await Reveal.initialize({
      width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4, center: false, hash: true, transition: "none",
      backgroundTransition: "none", slideNumber: "c/t", pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1,
      showNotes: /[?&]notes\b/.test(location.search), display: "flex",
      // What has the focus within a figure has the keys too; Escape gives them back.
      keyboardCondition: () => !document.activeElement || !document.activeElement.closest(".sc-living"),
    });
    addEventListener("keydown", (event) => {
      const inside = document.activeElement && document.activeElement.closest(".sc-living");
      if (!inside) return;
      if (event.key === "Escape") { document.activeElement.blur(); event.stopPropagation(); }
      // What a presenter's remote sends turns slides, whatever was touched last.
      if (event.key === "PageDown" || event.key === "PageUp") {
        event.preventDefault();
        if (event.key === "PageDown") Reveal.next(); else Reveal.prev();
      }
    }, true);
    Reveal.addKeyBinding({ keyCode: 83, key: "S", description: "Speaker's window" }, openSpeaker);
    Reveal.addKeyBinding({ keyCode: 68, key: "D", description: "Dark or light" }, () => { turn(); tell(); });
    Reveal.addKeyBinding({ keyCode: 90, key: "Z", description: "A full figure larger" }, () => { const b = Reveal.getCurrentSlide().querySelector(".enlarge"); if (b) b.click(); });
    Reveal.on("slidechanged", tell);
    document.querySelectorAll(".stage").forEach(watch);
    if (!printing && window.SC && SC.page) SC.page();
    root.dataset.deck = "ready";
  }
  begin();
})();
