// The book's own script: search on file://, references at citations, quizzes, paper. Plain script, no dependence.
(function () {
  "use strict";

  // --- Search on file:// -------------------------------------------------------------------------
  // Opened as a file, a page may not fetch others, of which the search shows excerpts. It may load a
  // script, and the build writes the text of all pages into one: here it answers in fetch's place.
  if (location.protocol === "file:" && document.documentElement.dataset.content_root !== undefined) {
    const root = document.documentElement.dataset.content_root;
    let asked = null;
    const texts = () => asked = asked || new Promise((done) => {
      const node = document.createElement("script");
      node.src = root + "_static/search_text.js";
      node.onload = () => done(window.SC_SEARCH_TEXT || {});
      node.onerror = () => done({}); // titles without excerpts
      document.head.append(node);
    });
    const marks = { "&": "&amp;", "<": "&lt;" };
    window.fetch = (address) => texts().then((found) => {
      const name = String(address).replace(root, "").split(/[?#]/)[0], text = Object.hasOwn(found, name) ? found[name] : "";
      return { text: async () => (text ? `<div role="main">${text.replace(/[&<]/g, (sign) => marks[sign])}</div>` : "") };
    });
  }

  // --- References at citations -------------------------------------------------------------------
  // The build writes each citation's reference into its link's title. Here it becomes a small box that
  // also opens for the keyboard and for touch, stays while the pointer is over it, and closes with
  // Escape. The link itself leads to the bibliography, where the work's address is. Without this
  // script the title remains.
  function references() {
    const citations = document.querySelectorAll(".bibtex-citation a.reference[title]");
    if (!citations.length) return;
    const box = document.createElement("div");
    box.className = "sc-reference";
    box.id = "sc-reference";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    document.body.append(box);
    let shown = null, timer = 0;

    function hide() {
      clearTimeout(timer);
      if (shown) shown.removeAttribute("aria-describedby");
      box.hidden = true;
      shown = null;
    }
    function later(act, wait) {
      clearTimeout(timer);
      timer = setTimeout(act, wait);
    }
    function place(link) {
      const at = link.getClientRects()[0] || link.getBoundingClientRect();
      const room = document.documentElement.clientWidth, gap = 6;
      box.style.maxWidth = Math.min(416, room - 24) + "px";
      box.style.left = "0";
      const size = box.getBoundingClientRect();
      const left = Math.max(12, Math.min(at.left, room - size.width - 12));
      const under = at.bottom + gap + size.height <= innerHeight || at.top < size.height + gap;
      box.style.left = left + scrollX + "px";
      box.style.top = (under ? at.bottom + gap : at.top - gap - size.height) + scrollY + "px";
    }
    function show(link) {
      clearTimeout(timer);
      if (shown === link) return;
      hide();
      box.textContent = link.dataset.reference;
      box.hidden = false;
      link.setAttribute("aria-describedby", box.id);
      shown = link;
      place(link);
    }

    for (const link of citations) {
      link.dataset.reference = link.title;
      link.removeAttribute("title");
      link.addEventListener("pointerenter", (e) => { if (e.pointerType !== "touch") later(() => show(link), 120); });
      link.addEventListener("pointerleave", (e) => { if (e.pointerType !== "touch") later(hide, 250); });
      link.addEventListener("focus", () => { if (link.matches(":focus-visible")) show(link); });
      link.addEventListener("blur", hide);
      // By touch the first tap shows the reference, the second one follows the link.
      let touched = false;
      link.addEventListener("pointerdown", (e) => { touched = e.pointerType === "touch"; });
      link.addEventListener("click", (e) => {
        if (touched && shown !== link) { e.preventDefault(); show(link); }
      });
    }
    box.addEventListener("pointerenter", () => clearTimeout(timer));
    box.addEventListener("pointerleave", (e) => { if (e.pointerType !== "touch") later(hide, 250); });
    document.addEventListener("keydown", (e) => { if (e.key === "Escape" && shown) hide(); });
    document.addEventListener("pointerdown", (e) => {
      if (shown && !box.contains(e.target) && !shown.contains(e.target)) hide();
    });
    addEventListener("resize", hide);
  }

  // --- What was answered: kept in this browser, sent nowhere --------------------------------------
  const KEPT = "synthetic-contrast-answered";
  function answered() { // names of questions: "quiz-03-2"
    try { return new Set(JSON.parse(localStorage.getItem(KEPT)) || []); } catch { return new Set(); }
  }
  function keep(names) { // a browser that keeps nothing still answers
    try { if (names.size) localStorage.setItem(KEPT, JSON.stringify([...names])); else localStorage.removeItem(KEPT); } catch { /* no storage */ }
  }
  function progress() {
    for (const place of document.querySelectorAll(".sc-progress")) {
      const names = [...answered()], chapters = JSON.parse(place.dataset.chapters);
      const rows = chapters.map(([chapter, page, asked]) => [chapter, page, asked, names.filter((name) => name.startsWith(`quiz-${chapter}-`)).length]).filter((row) => row[3]);
      const right = rows.reduce((sum, row) => sum + row[3], 0), all = chapters.reduce((sum, row) => sum + row[2], 0);
      place.hidden = !right;
      place.replaceChildren();
      if (!right) continue;
      const said = document.createElement("p"), list = document.createElement("ul"), forget = document.createElement("button");
      said.textContent = `You have answered ${right} of the ${all} questions of these pages. Only this browser knows.`;
      for (const [chapter, page, asked, count] of rows) {
        const item = document.createElement("li"), link = document.createElement("a");
        link.href = `${document.documentElement.dataset.content_root || ""}${page}#quiz-${chapter}`;
        link.textContent = `Chapter ${Number(chapter)}`;
        item.append(link, `: ${count} of ${asked}`);
        list.append(item);
      }
      forget.type = "button";
      forget.className = "sc-quiz-check";
      forget.textContent = "Forget them";
      forget.addEventListener("click", () => { keep(new Set()); progress(); });
      place.append(said, list, forget);
    }
  }

  // --- Quizzes -----------------------------------------------------------------------------------
  // Each option's reason stands folded below its question; here a button brings the one that belongs to
  // the reader's choice. The choice alone says nothing yet: arrow keys pass over options on their way.
  function quizzes() {
    const mark = (group, name) => {
      const number = group.querySelector(".sc-quiz-number");
      const right = answered().has(name);
      number.classList.toggle("sc-quiz-done", right);
      number.title = right ? "answered" : "";
    };
    for (const group of document.querySelectorAll(".sc-quiz fieldset")) {
      const name = group.querySelector("input").name;
      mark(group, name);
      const says = group.querySelector(".sc-quiz-says"), check = group.querySelector(".sc-quiz-check");
      const clear = () => { says.replaceChildren(); delete says.dataset.is; };
      check.hidden = false;
      check.addEventListener("click", () => {
        const chosen = group.querySelector("input:checked");
        clear();
        if (!chosen) { says.textContent = "Choose an answer first."; return; }
        const reason = group.querySelector(`[data-option="${chosen.value}"]`);
        says.dataset.is = reason.dataset.is;
        says.append(...[...reason.childNodes].map((node) => node.cloneNode(true)));
        if (reason.dataset.is === "right") { keep(answered().add(name)); mark(group, name); }
      });
      group.addEventListener("change", clear);
    }
  }

  // --- Formulas that are wider than the page scroll: the keyboard must reach them -----------------
  function formulas() {
    const reach = () => {
      for (const formula of document.querySelectorAll('div.math, div.math mjx-container[display="true"]')) {
        if (formula.scrollWidth > formula.clientWidth + 1) formula.tabIndex = 0;
        else formula.removeAttribute("tabindex");
      }
    };
    addEventListener("load", () => {
      const set = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
      if (set) set.then(() => { reach(); addEventListener("resize", reach); });
    });
  }

  // --- Paper: code that is folded stays so, all else is unfolded; no dark ground; afterwards all is as it was ---
  let folded = [], mode = null;
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("article details:not([open], .hide, .sc-quiz-answer)")];
    for (const one of folded) one.open = true;
    for (const picture of document.querySelectorAll("img[loading=lazy]:not(.only-dark)")) picture.loading = "eager";
    mode = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
    if (mode) document.documentElement.dataset.theme = mode;
    folded = [];
  });

  const begin = () => { references(); quizzes(); progress(); formulas(); };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
