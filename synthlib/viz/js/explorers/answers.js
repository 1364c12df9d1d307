/* ω over answers of a reader's own generator: the texts at one ω to read, and what became of all of them by ω.

   Tables: answers {omega, kind, premise, output, what, same}; for each kind one of its name {omega, what, percent}.
   Options: lines (the description of the shares), colours {what: colour}, same (the name of the share of answers that
   several premises have). */
(function (SC) {
  "use strict";
  const MOST = 200; // rows of the table: a page with thousands is slow, and nobody reads them

  function now(view) {
    const { omega, kind } = view.state, all = view.all.answers.where("kind", kind);
    const rows = all.where("omega", omega).rows, plain = new Map(all.where("omega", 0).rows.map((r) => [r.premise, r.output]));
    const counts = new Map();
    for (const { what } of rows) counts.set(what, (counts.get(what) || 0) + 1);
    return { omega, kind, rows, plain, counts, same: rows.filter((r) => r.same > 1).length };
  }

  const told = ({ rows, counts, same }, view) => Object.keys(view.options.colours).filter((what) => counts.get(what))
    .map((what) => `${what} ${counts.get(what)}`).join(", ") + `; ${view.options.same} ${same}; of ${rows.length}`;

  SC.explorers.answers = {
    draw(view) {
      const { html, root, options } = view, at = (view.memory.now = now(view));
      const spec = { ...options.lines, data: at.kind, height: view.narrow ? 3 : 2.4, vlines: [{ at: at.omega }] };
      SC.kinds.lines.draw(Object.create(view, { spec: { value: spec } }));
      const words = (text) => (String(text ?? "").trim() ? SC.text(text, 400).split(" ") : []);
      const rows = at.rows.slice(0, MOST).map((row) => {
        const said = words(row.output), plain = at.plain.get(row.premise);
        const fresh = plain === undefined || at.omega === 0 ? [] : SC.changed(words(plain), said);
        return html("tr", {},
          html("td", {}, SC.text(row.premise)),
          html("td", {}, said.length ? said.map((word, i) => [i ? " " : "", fresh[i] ? html("b", { class: "sc-m-fresh" }, word) : word]) : html("span", { class: "sc-muted" }, "(nothing)")),
          html("td", { class: "sc-m-what" }, html("i", { style: { background: view.colours[options.colours[row.what]] || "none" } }), SC.text(row.what),
            row.same > 1 && html("span", { class: "sc-muted" }, `, ${row.same} premises`)));
      });
      const heads = ["premise", at.plain.size && at.omega !== 0 ? "answer (marked: not so at ω = 0)" : "answer", "what it is"];
      root.append(html("p", { class: "sc-m-asked" }, html("b", {}, `ω = ${SC.format(at.omega, ".2f")}: `), told(at, view), at.rows.length > MOST ? `; the first ${MOST} are shown.` : "."),
        html("div", { class: "sc-m-scroll sc-m-tall", tabindex: "0", role: "region", "aria-label": "The answers", key: "scroll" },
          html("table", { class: "sc-m-list" }, html("thead", {}, html("tr", {}, heads.map((h) => html("th", { scope: "col" }, h)))), html("tbody", {}, rows))));
    },

    describe(view) {
      const at = view.memory.now, [first] = at.rows;
      return `Answers at ω = ${SC.format(at.omega, ".2f")}, ${at.kind}s asked for: ${told(at, view)}.`
        + (first ? ` Of “${SC.text(first.premise)}”: “${SC.text(first.output) || "nothing"}”.` : "");
    },
  };
})(SC);
