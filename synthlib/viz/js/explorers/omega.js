/* Contrastive generation, word by word (MultiCSR § 3.1): the scores l − ω·l̂ at every place of a text.

   Tables: recorded {omega, step, word, asked, noisy, mixed (probabilities), low, high, chosen}, made by
   synthlib.viz.page_examples.omega_tables; instructions {instruction, noise, noisy}.
   Options: model, megabytes, room, top, template, sentence, instruction, noise (what is recorded),
   place (the first to look at), sweep (the title of a table sweep {omega, kind, percent}: percent right over
   many sentences), kinds (its colours), views (names of the three), compact (a
   cover's figure: the words in a line, without the table). */
(function (SC) {
  "use strict";
  const END = "(end)";
  const name = (word) => (word === "</s>" ? END : SC.text(word, 40));

  function setting(view) {
    const o = view.options, s = view.state;
    const instruction = s.instruction ?? o.instruction, noise = s.noise ?? o.noise;
    const row = view.all.instructions.rows.find((r) => r.instruction === instruction && r.noise === noise);
    if (!row) throw new Error(`no noisy variant ‘${SC.text(noise)}’ of ‘${SC.text(instruction)}’`);
    const fill = (text) => o.template.split("{instruction}").join(text).split("{sentence}").join(s.sentence);
    const recorded = s.sentence === o.sentence && instruction === o.instruction && noise === o.noise;
    return { ...row, recorded, contexts: [fill(row.instruction), fill(row.noisy)], omega: s.omega };
  }

  /** Recorded steps at the recorded ω that is nearest. */
  function recall(view, omega) {
    const memory = view.memory;
    memory.byOmega = memory.byOmega || new Map();
    const all = view.all.recorded, grid = all.unique("omega");
    const at = grid.reduce((a, b) => (Math.abs(b - omega) < Math.abs(a - omega) ? b : a));
    if (!memory.byOmega.has(at)) {
      const steps = [];
      for (const r of all.where("omega", at).rows) {
        const step = (steps[r.step] = steps[r.step] || { step: r.step, low: r.low, high: r.high, leaders: [] });
        step.leaders.push({ word: r.word, chosen: r.chosen, p: [r.asked, r.noisy, r.mixed] });
        if (r.chosen) step.word = r.word;
      }
      memory.byOmega.set(at, { omega: at, steps: steps.map((s) => ({ ...s, low: s.low ?? -Infinity, high: s.high ?? Infinity })) });
    }
    return memory.byOmega.get(at);
  }

  const keyOf = (now) => JSON.stringify([now.contexts, now.omega]);

  /** Ask the model for what is set now, unless it is asked or has answered: a drag never queues up. */
  function ask(view, form, now) {
    const memory = view.memory, key = keyOf(now), pair = JSON.stringify(now.contexts);
    if (memory.asking || (memory.answer && memory.answer.key === key)) return;
    memory.asking = true;
    const { room, top } = view.options, steps = [];
    const plain = memory.plain && memory.plain.pair === pair ? Promise.resolve(memory.plain)
      : form.model.write({ contexts: [now.contexts[0]], weights: [1], room }).promise.then((done) => ({ pair, words: done.text ? done.text.split(" ") : [] }));
    const writing = form.model.write({ contexts: now.contexts, weights: [1, -now.omega], slopes: [0, -1], room, top }, (step) => {
      // The model says how far the dial may turn from where it stands; the reader sees ω itself.
      if (step.word !== undefined) steps.push({ ...step, low: step.low + now.omega, high: step.high + now.omega });
    });
    Promise.all([plain, writing.promise]).then(([first, done]) => {
      memory.plain = first;
      memory.answer = { key, pair, omega: now.omega, steps, done };
    }, (error) => { memory.answer = { key, error: error.message }; })
      .finally(() => { memory.asking = false; view.redraw(); });
  }

  /** What there is to show: {steps, plain, omega, own (computed here), done}, or null. */
  function current(view, form, now) {
    if (form.model) {
      ask(view, form, now);
      const answer = view.memory.answer;
      if (answer && answer.error) return null;
      if (answer && answer.pair === JSON.stringify(now.contexts)) return { ...answer, plain: view.memory.plain.words, own: true };
      return null;
    }
    if (!now.recorded) return null;
    const plain = recall(view, 0).steps.map((s) => s.word).filter((w) => w !== "</s>");
    return { ...recall(view, now.omega), plain, own: false };
  }

  const range = (view) => view.controls.find((c) => c.name === "omega");
  const percent = (p) => SC.format(p, ".2f");

  /** From where to where in ω a word is chosen, as words. */
  function stretch(view, step) {
    const { min, max } = range(view), low = step.low > min, high = step.high < max;
    const f = (v) => SC.format(v, ".2f");
    if (low && high) return `for ω from ${f(step.low)} to ${f(step.high)}`;
    if (low) return `for ω from ${f(step.low)} on`;
    if (high) return `for ω up to ${f(step.high)}`;
    return "for every ω shown";
  }

  function strip(view, step, omega) {
    const { svg } = view, { min, max } = range(view), wide = view.narrow ? 70 : 120;
    const x = SC.scale([min, max], [4, wide - 4]), a = x(Math.max(step.low, min)), b = x(Math.min(step.high, max));
    return svg("svg", { width: wide, height: 18, viewBox: `0 0 ${wide} 18`, "aria-hidden": "true", class: "sc-m-strip" },
      svg("line", { x1: 4, x2: wide - 4, y1: 9, y2: 9, style: { stroke: view.colours.grid, "stroke-width": "2" } }),
      svg("line", { x1: a, x2: b, y1: 9, y2: 9, style: { stroke: view.colours.purple, "stroke-width": "6" } }),
      svg("line", { x1: x(omega), x2: x(omega), y1: 1, y2: 17, style: { stroke: view.colours.ink, "stroke-width": "1.5" } }));
  }

  function detail(view, step, now) {
    const seen = step.leaders.slice(0, view.narrow ? 6 : 7);
    return SC.wordBars(view, {
      title: [`Word ${step.step + 1}: `, view.html("b", {}, name(step.word)), ` ${stretch(view, step)}`],
      names: view.options.views || ["as asked", "noisy", "mixture"],
      words: seen.map((leader) => ({ text: name(leader.word), chosen: leader.chosen, p: leader.p })),
    });
  }

  /** Accuracy by ω over many sentences, with a line at the ω that is set; a click sets it. */
  function sweep(view, omega) {
    const table = view.all.sweep, wide = view.width < 640 ? view.width : Math.floor(view.width * 0.335), { min, max } = range(view);
    const picture = view.picture(150, { width: wide, name: "Percent right by ω" });
    const kinds = view.series(table, "kind", { colors: view.options.kinds || {}, order: Object.keys(view.options.kinds || {}) });
    const axes = view.frame(picture, { left: 0, top: 0, width: wide, height: 150 },
      { x: { domain: [min, max], label: "ω" }, y: { domain: [0, 100], label: "right (%)", ticks: [0, 50, 100] } });
    axes.g.append(view.svg("line", { x1: axes.x(omega), x2: axes.x(omega), y1: axes.top, y2: axes.bottom, style: { stroke: view.colours.ink, "stroke-width": "1.5" } }));
    const marks = [];
    for (const { value, colour, dashes } of kinds.values()) {
      const rows = table.where("kind", value).rows.filter((r) => r.omega >= min && r.omega <= max);
      axes.g.append(view.svg("polyline", { points: rows.map((r) => `${axes.x(r.omega)},${axes.y(r.percent)}`).join(" "),
        "stroke-dasharray": dashes.join(" "), style: { fill: "none", stroke: colour, "stroke-width": "2" } }));
      for (const r of rows) marks.push({ x: axes.x(r.omega), y: axes.y(r.percent), group: value, omega: r.omega,
        lines: [["ω", SC.format(r.omega, ".1f")], [value, `${SC.format(r.percent, ".0f")} % right`]] });
    }
    view.read(picture, marks, { pick: (mark) => view.set({ omega: mark.omega }) });
    return view.html("div", { class: "sc-m-sweep" }, view.html("p", { class: "sc-m-detail-title" }, view.options.sweep),
      view.html("p", { class: "sc-m-key" }, [...kinds.values()].map(({ value, colour }) => view.html("span", {}, view.html("i", { style: { background: colour } }), SC.text(value)))),
      picture.parentNode);
  }

  SC.explorers.omega = {
    state: (view) => ({ sentence: view.options.sentence, place: view.options.place || 0 }),

    draw(view) {
      const { html, root, options } = view, now = setting(view);
      const form = SC.modelForm(view, { label: options.prompt || "Premise", name: options.model, megabytes: options.megabytes });
      const shown = current(view, form, now), answer = view.memory.answer;
      view.memory.shown = shown;
      // What stands there may still be the answer to what was set a moment ago.
      const behind = form.model && (!answer || answer.key !== keyOf(now));
      root.setAttribute("aria-busy", behind ? "true" : "false");
      if (form.error) form.tell(form.error);
      else if (!form.model) form.tell(now.recorded ? form.hint : "This setting is not recorded: press the button, and the model writes it here.");
      else if (answer && answer.error) form.tell(`The model cannot write this: ${SC.text(answer.error, 200)}`);
      else if (shown) form.tell(SC.modelSays(form, shown.done));
      if (!options.compact) {
        root.append(html("p", { class: "sc-m-asked" }, html("b", {}, "Noisy instruction: "), SC.text(now.noisy)));
      }
      if (!shown) {
        root.append(html("p", { class: "sc-m-wait" }, form.model && !(answer && answer.error) ? "The model reads …" : "Nothing to show for this setting yet."));
        return;
      }
      const steps = shown.steps, place = Math.min(view.state.place, steps.length - 1), omega = now.omega;
      const fresh = SC.changed([...shown.plain, "</s>"], steps.map((s) => s.word));
      const best = (step, k) => step.leaders.reduce((a, b) => (b.p[k] > a.p[k] ? b : a));
      const cell = (step, k) => { const top = best(step, k); return html("td", {}, name(top.word), " ", html("span", { class: "sc-m-p" }, percent(top.p[k]))); };
      const buttons = steps.map((step, i) => SC.wordButton(view, { text: name(step.word), at: step.step, place, fresh: fresh[i], count: steps.length }));
      const side = detail(view, steps[place], now);
      if (view.all.sweep) side.append(sweep(view, omega));
      if (options.compact) {
        root.append(html("div", { class: "sc-m-sentence", role: "toolbar", "aria-label": "The words as written: press one to look into it" }, buttons), side);
        return;
      }
      root.append(html("div", { class: "sc-m-columns" }, html("div", { class: "sc-m-scroll" }, html("table", { class: "sc-m-steps" },
        html("thead", {}, html("tr", {}, ["#", "written", "as asked", "noisy", "written for ω"].map((h) => html("th", { scope: "col" }, h)))),
        html("tbody", {}, steps.map((step, i) => html("tr", { class: i === place ? "sc-m-here" : null },
          html("td", { class: "sc-m-number" }, String(i + 1)), html("td", {}, buttons[i]), cell(step, 0), cell(step, 1),
          html("td", {}, strip(view, step, omega), html("span", { class: "sc-m-aside" }, stretch(view, step)))))))), side));
    },

    describe(view) {
      const shown = view.memory.shown, now = setting(view), f = (v) => SC.format(v, ".2f");
      if (!shown) return view.memory.form && view.memory.form.node.querySelector(".sc-model-status").textContent;
      const words = shown.steps.map((s) => name(s.word)).filter((w) => w !== END);
      const fresh = SC.changed(shown.plain, words).filter(Boolean).length;
      const step = shown.steps[Math.min(view.state.place, shown.steps.length - 1)], chosen = step.leaders.find((l) => l.chosen);
      const unknown = shown.done && shown.done.unknown.length ? ` Not in the vocabulary: ${SC.quoted(shown.done.unknown)}.` : "";
      return `${shown.own ? "" : "Recorded. "}At ω = ${f(shown.omega)} the model writes: ${words.join(" ") || "nothing"}. `
        + (fresh ? `${fresh} of ${words.length} words differ from plain decoding. ` : "As in plain decoding. ")
        + `Word ${step.step + 1}, ${name(step.word)}: ${f(chosen.p[0])} as asked, ${f(chosen.p[1])} under the noisy instruction, ${f(chosen.p[2])} in the mixture; chosen ${stretch(view, step)}.${unknown}`;
    },
  };
})(SC);
