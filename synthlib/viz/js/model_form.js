/* What the explorers of decoding share: words as buttons, their probabilities as bars, two small comparisons;
   and of those that run a model the sentence's field with its button and line of status. */
(function (SC) {
  "use strict";

  /** Which words of `after` are new, by the longest common subsequence with `before`. */
  SC.changed = (before, after) => {
    const n = before.length, m = after.length;
    const common = Array.from({ length: n + 1 }, () => new Array(m + 1).fill(0));
    for (let i = n - 1; i >= 0; i--) {
      for (let j = m - 1; j >= 0; j--) {
        common[i][j] = before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
      }
    }
    const fresh = new Array(m).fill(true);
    for (let i = 0, j = 0; i < n && j < m; ) {
      if (before[i] === after[j]) { fresh[j] = false; i++; j++; } else if (common[i + 1][j] >= common[i][j + 1]) i++;
      else j++;
    }
    return fresh;
  };

  /** Where a list falls into a loop that it does not leave: [start, period] or null (curation.find_loop). */
  SC.findLoop = (sentences) => {
    const n = sentences.length;
    for (let period = 1; 2 * period <= n; period++) {
      let start = n - period;
      while (start > 0 && sentences[start - 1] === sentences[start - 1 + period]) start--;
      if (start <= n - 2 * period) return [start, period];
    }
    return null;
  };

  SC.quoted = (words) => words.slice(0, 5).map((w) => `‘${SC.text(w, 40)}’`).join(", ") + (words.length > 5 ? " and more" : "");

  /** A word of a text as a button; the words together form one stop of the Tab key.

      at: its place; place: the one that is looked into; glued, joins: no blank is before it, behind it; set(place): what to set when it is chosen. */
  SC.wordButton = (view, { text, at, place, fresh, count, glued, joins, set = (to) => ({ place: to }) }) =>
    view.html("button", { type: "button", key: `place-${at}`, tabindex: at === place ? "0" : "-1",
      class: `sc-m-word${fresh ? " sc-m-fresh" : ""}${glued ? " sc-m-glued" : ""}${joins ? " sc-m-joins" : ""}`, "aria-pressed": at === place ? "true" : "false",
      on: {
        click: () => view.set(set(at)),
        keydown: (event) => {
          const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -count, End: count }[event.key];
          if (!move) return;
          event.preventDefault();
          const to = Math.min(Math.max(place + move, 0), count - 1);
          view.set(set(to));
          view.flush();
          const next = view.root.querySelector(`[data-key="place-${to}"]`);
          if (next) next.focus({ preventScroll: true });
        },
      } }, view.html("span", {}, text));

  /** Words with their probability in both contexts and in the mixture, as bars.

      title: of it, as nodes; names: of the three; words: [{text, chosen, p: [three]}]; width(p): share of a whole bar; fine: longer numbers. */
  SC.wordBars = (view, { title, more, names, words, width = (p) => p, format = (p) => SC.format(p, ".2f"), fine, note }) => {
    const { html } = view, looks = ["blue", "orange", "purple"].map((token, k) => [token, names[k]]);
    return html("div", { class: "sc-m-detail" },
      html("p", { class: "sc-m-detail-title" }, title), more,
      html("p", { class: "sc-m-key" }, looks.map(([token, label]) => html("span", {}, html("i", { style: { background: view.colours[token] } }), label))),
      html("div", { class: `sc-m-bars${fine ? " sc-m-fine" : ""}` }, words.map((word) => [
        html("span", { class: `sc-m-bars-word${word.chosen ? " sc-m-chosen" : ""}` }, word.text),
        html("span", { class: "sc-m-bars-three" }, looks.map(([token, label], k) => html("span", { class: "sc-m-bar" },
          html("i", { style: { width: `${(100 * width(word.p[k])).toFixed(1)}%`, background: view.colours[token] } }),
          html("span", {}, html("span", { class: "sc-m-aside" }, `${label} `), format(word.p[k]))))),
      ])), note && html("p", { class: "sc-note" }, note));
  };

  /** The form of a figure that runs a model; made once, kept across redraws.

      label: of the field; name: the model's; megabytes: what pressing the button fetches.
      Returns {input, model (null until the reader has pressed "run"), tell(text), busy(on)}. */
  SC.modelForm = (view, { label, name, megabytes, run = "Run the model", onstart, onstop }) => {
    const memory = view.memory, { html } = view;
    if (memory.form) { memory.form.follow(); return memory.form; }
    const id = `sc-model-${(SC.modelForms = (SC.modelForms || 0) + 1)}`;
    const input = html("input", { type: "text", id, maxlength: 300, autocomplete: "off", autocapitalize: "off",
      spellcheck: "false", class: "sc-model-text", "aria-describedby": `${id}-status` });
    let last = (input.value = view.state.sentence);
    const button = html("button", { type: "submit", class: "sc-model-run" }, run);
    const stop = html("button", { type: "button", class: "sc-model-stop", hidden: true, on: { click: () => onstop && onstop() } }, "Stop");
    const status = html("p", { class: "sc-model-status", id: `${id}-status` });
    const node = html("form", { class: "sc-model", on: { submit: (event) => { event.preventDefault(); start(); } } },
      html("label", { for: id }, label), html("div", { class: "sc-model-row" }, input, button, stop), status);
    view.root.before(node);
    const form = (memory.form = {
      node, input, button, model: null, error: null,
      tell: (text) => { if (status.textContent !== text) status.textContent = text; },
      // Python may set the sentence as well.
      follow: () => { if (last !== view.state.sentence) last = input.value = view.state.sentence; },
      busy: (on) => { if (onstop) stop.hidden = !on; },
      hint: `Recorded when the book was built. The button fetches the model (${megabytes} MB, once); it then runs in this page, with sentences of your own.`,
    });

    function start() {
      const sentence = input.value.replace(/\s+/g, " ").trim();
      if (!sentence) { form.tell("Write a sentence first."); input.focus(); return; }
      if (form.model) { view.set({ sentence }); if (onstart) onstart(); view.redraw(); return; }
      button.disabled = true;
      form.error = null;
      form.tell("The model is fetched …");
      SC.model.open(name).then((model) => {
        form.model = model;
        button.textContent = "Run";
        view.set({ sentence });
        if (onstart) onstart();
      }, (error) => {
        form.error = `The model cannot run here: ${SC.text(error.message || error, 200)}. The recorded example still answers.`;
      }).finally(() => { button.disabled = false; view.redraw(); });
    }
    return form;
  };

  /** A line about a model at work: where it runs, its time a word, the words that it does not know. */
  SC.modelSays = (form, done) => {
    const where = form.model.where === "worker" ? "in this page, in a worker" : "in this page itself, for your browser has no workers here";
    const time = done && done.ms !== null && done.ms !== undefined ? `, ${SC.format(done.ms, ".1f")} ms a word` : "";
    const unknown = done && done.unknown && done.unknown.length
      ? ` ${done.unknown.length === 1 ? "One word is" : "Some words are"} not in its vocabulary and read as unknown: ${SC.quoted(done.unknown)}.` : "";
    return `The model runs ${where}${time}.${unknown}`;
  };
})(SC);
