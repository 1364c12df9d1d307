/* A ranking list that is written in the page, sentence by sentence (ranking sentences § 3.1).

   Table: recorded {lam, place, sentence}, the anchor at place 0. Options: model, megabytes, room, steps,
   prompt (with {sentence}), sentence (the recorded anchor). */
(function (SC) {
  "use strict";

  function recall(view) {
    const all = view.all.recorded, grid = all.unique("lam"), wanted = view.state.lam;
    const at = grid.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
    return { lam: at, sentences: all.where("lam", at).rows.map((r) => r.sentence), finished: true, own: false };
  }

  /** Begin to write what is set now; what was being written is dropped. */
  function begin(view, form) {
    const memory = view.memory, { sentence: anchor, lam } = view.state, { prompt, steps, room } = view.options;
    if (memory.job) memory.job.stop();
    const writing = { key: JSON.stringify([anchor, lam]), lam, sentences: [anchor], part: "", unknown: new Set(), own: true, steps };
    memory.writing = writing;
    const done = (changes) => {
      if (memory.writing !== writing) return;
      Object.assign(writing, changes, { finished: true, part: "" });
      memory.job = null;
      view.redraw();
    };
    const job = form.model.list({ prompt, anchor, lam, steps, room }, (event) => {
      if (memory.writing !== writing) return;
      if (event.sentence !== undefined) {
        writing.sentences.push(event.sentence);
        // What the reader's own sentence lacks is said; what follows is of the model's own words.
        if (event.place === 1) event.unknown.forEach((w) => writing.unknown.add(w));
        writing.part = "";
      } else if (event.word !== "</s>") writing.part += (writing.part ? " " : "") + event.word;
      view.redraw();
    });
    memory.job = job;
    job.promise.then((end) => done({ ms: end.ms, ended: end.sentences.length <= steps }), (error) => done({ error: error.message }));
  }

  function finish(view) {
    const memory = view.memory;
    if (!memory.job) return;
    memory.job.stop();
    memory.job = null;
    Object.assign(memory.writing, { finished: true, stopped: true, part: "" });
    view.redraw();
  }

  /** What became of a list, as the chapter says it. */
  function verdict(shown) {
    const { sentences, finished } = shown, loop = SC.findLoop(sentences);
    const different = new Set(sentences).size, count = `${different} different sentence${different === 1 ? "" : "s"} of ${sentences.length}`;
    if (!finished) return `${count} so far`;
    if (!loop) return `${count}; it has not come to a loop`;
    return loop[1] === 1 ? `${count}; a fixed point from place ${loop[0]} on`
      : `${count}; it goes round in a loop of ${loop[1]} from place ${loop[0]} on`;
  }

  SC.explorers.list = {
    state: (view) => ({ sentence: view.options.sentence }),

    draw(view) {
      const { html, root, options, memory } = view;
      const form = SC.modelForm(view, { label: "Anchor", name: options.model, megabytes: options.megabytes, run: "Run the model",
        onstart: () => begin(view, form), onstop: () => finish(view) });
      let shown;
      if (form.model) {
        const key = JSON.stringify([view.state.sentence, view.state.lam]);
        if (!memory.writing || memory.writing.key !== key) {
          // A slider on its way passes many values: begin where it rests.
          clearTimeout(memory.rest);
          memory.rest = setTimeout(() => { if (!memory.writing || memory.writing.key !== JSON.stringify([view.state.sentence, view.state.lam])) { begin(view, form); view.redraw(); } }, 120);
        }
        shown = memory.writing || { sentences: [view.state.sentence], part: "", lam: view.state.lam, unknown: new Set(), own: true };
      } else shown = recall(view);
      memory.shown = shown;
      form.busy(Boolean(memory.job));
      const behind = form.model && (!shown.finished || shown.key !== JSON.stringify([view.state.sentence, view.state.lam]));
      root.setAttribute("aria-busy", behind ? "true" : "false");
      if (form.error) form.tell(form.error);
      else if (!form.model) {
        const exact = Math.abs(shown.lam - view.state.lam) < 1e-9;
        form.tell(exact ? form.hint : `The nearest that is recorded is λ = ${SC.number(shown.lam)}. The button fetches the model (${options.megabytes} MB, once), which writes any other.`);
      } else if (shown.error) form.tell(`The model cannot write this: ${SC.text(shown.error, 200)}`);
      else form.tell(SC.modelSays(form, { ms: shown.ms, unknown: [...shown.unknown] }));
      const { sentences } = shown, loop = shown.finished ? SC.findLoop(sentences) : null;
      const first = new Map(), anchor = new Set(sentences[0].split(" "));
      const rows = sentences.map((sentence, i) => {
        const words = sentence.split(" "), before = i ? sentences[i - 1].split(" ") : words;
        const fresh = SC.changed(before, words);
        const note = i === 0 ? "anchor" : sentence === sentences[i - 1] ? "copy of the one before"
          : first.has(sentence) ? `as place ${first.get(sentence)}` : "";
        if (!first.has(sentence)) first.set(sentence, i);
        const own = new Set(words), both = [...own].filter((w) => anchor.has(w)).length, share = both / new Set([...own, ...anchor]).size;
        return html("tr", { class: loop && i >= loop[0] ? "sc-m-loop" : null },
          html("td", { class: "sc-m-number" }, String(i)),
          html("td", {}, words.map((word, j) => [j ? " " : "", fresh[j] ? html("b", { class: "sc-m-fresh" }, SC.text(word, 60)) : SC.text(word, 60)])),
          html("td", { class: "sc-m-note" }, note),
          html("td", { class: "sc-m-share" }, html("span", { class: "sc-m-bar" }, html("i", { style: { width: `${(100 * share).toFixed(0)}%`, background: view.colours.blue } }), html("span", {}, percent(share)))));
      });
      if (shown.part) rows.push(html("tr", { class: "sc-m-part" }, html("td", { class: "sc-m-number" }, String(sentences.length)), html("td", { colspan: 3 }, `${SC.text(shown.part)} …`)));
      root.append(html("p", { class: "sc-m-asked" }, `λ = ${SC.format(shown.lam, ".1f")}: ${verdict(shown)}${shown.stopped ? " (stopped)" : ""}.`),
        html("div", { class: "sc-m-scroll", tabindex: "0", role: "region", "aria-label": "The list", key: "scroll" }, html("table", { class: "sc-m-list" },
          html("thead", {}, html("tr", {}, ["#", "sentence (bold: new or moved, against the one before)", "note", "words shared with the anchor"].map((h) => html("th", { scope: "col" }, h)))),
          html("tbody", {}, rows))));
    },

    describe(view) {
      const shown = view.memory.shown;
      if (!shown.finished) return `A list is being written with λ = ${SC.format(view.state.lam, ".1f")}.`;
      const unknown = shown.unknown && shown.unknown.size ? ` Not in the vocabulary: ${SC.quoted([...shown.unknown])}.` : "";
      return `${shown.own ? "" : "Recorded. "}List with λ = ${SC.format(shown.lam, ".1f")}: ${verdict(shown)}. It begins with “${shown.sentences[0]}” and ends with “${shown.sentences.at(-1)}”.${unknown}`;
    },
  };

  const percent = (share) => SC.format(share, ".0%");
})(SC);
