/* ω over recorded answers of a real model: every answer of a grid of ω, and what each token weighed.

   Tables: words {case, node, token, asked, noisy (log-probabilities), next, mixed}, as experiments.ch13.dial
   gives them: node 0 begins an answer, next is the node behind a candidate (−1: the answer ends with it, −2: no
   ω takes it), mixed "0.3:0.41 …" has the ω that take it with its share of their mixture. answers {case, omega,
   output, outcome, reader}; cases {case, kind, premise, instruction, subtracted}.
   Options: outcomes {outcome: colour}, views (names of the two contexts and of the mixture), compact, writer (the model's name). */
(function (SC) {
  "use strict";
  const FLOOR = -6; // bars begin at a probability of 10^FLOOR
  const RULES = { copied: "a copy, by rule", echo: "an echo of the instruction, by rule", broken: "no sentence, by rule" };
  const JUDGED = { right: "right, says the examiner", neutral: "neither this nor that, says the examiner",
    opposite: "the opposite of what was asked, says the examiner" };
  const ASKED = { contradiction: "contradict", entailment: "follow from" };
  const omegaKey = (omega) => omega.toFixed(2).replace(/^-0\.00$/, "0.00");

  /** Candidates by node, from rows of the table of words. */
  function nodesOf(rows) {
    const nodes = [];
    for (const { node, token, asked, noisy, next, mixed } of rows) {
      const shares = new Map((mixed || "").split(" ").filter(Boolean).map((pair) => {
        const [omega, share] = pair.split(":");
        return [omegaKey(Number(omega)), Number(share)];
      }));
      (nodes[node] = nodes[node] || []).push({ token: token || "", asked, noisy, next, shares });
    }
    return nodes;
  }

  /** Decoding from l − ω·l̂ over the recorded candidates: [{node, taken}]. */
  function walk(nodes, omega) {
    const steps = [];
    for (let node = 0; node >= 0; ) {
      const score = (c) => c.asked - omega * c.noisy;
      const taken = nodes[node].reduce((best, c) => (score(c) > score(best) ? c : best));
      steps.push({ node, taken });
      if (taken.next < -1) throw new Error(`no answer was recorded for ω = ${omega}`);
      node = taken.next;
    }
    return steps;
  }

  /** The candidates of a place with their probabilities [asked, noisy, mixture], the likeliest of the mixture first. */
  function weighed(nodes, { node, taken }, omega) {
    const share = taken.shares.get(omegaKey(omega)), score = (c) => c.asked - omega * c.noisy;
    return nodes[node].map((c) => ({ token: c.token, chosen: c === taken,
      p: [Math.exp(c.asked), Math.exp(c.noisy), share * Math.exp(score(c) - score(taken))] }))
      .sort((a, b) => b.chosen - a.chosen || b.p[2] - a.p[2]);
  }

  SC.dial = { nodesOf, walk, weighed };

  const name = (token) => (token === "" ? "(end)" : SC.text(token.trim(), 40) || "(blank)");
  const joined = (steps) => steps.map((s) => s.taken.token).join("").trim();
  const two = (omega) => SC.format(omega, ".2f");

  /** "from −0.20 to 0.30, at 0.45": a set of ω as stretches of the grid. */
  function stretches(grid, some) {
    const out = [];
    for (let i = 0; i < grid.length; i++) {
      if (!some.has(omegaKey(grid[i]))) continue;
      let j = i;
      while (j + 1 < grid.length && some.has(omegaKey(grid[j + 1]))) j++;
      out.push(i === j ? two(grid[i]) : `${two(grid[i])} to ${two(grid[j])}`);
      i = j;
    }
    return out.join(", ");
  }

  function probability(p) {
    if (p >= 0.01) return SC.format(p, ".2f");
    return p >= 0.0001 ? SC.format(p, ".4f") : "<0.0001";
  }

  /** What is set: {about, grid, nodes, steps, plain, place, answer}. */
  function current(view) {
    const memory = view.memory, id = view.state.case, omega = view.state.omega;
    memory.trees = memory.trees || new Map();
    if (!memory.trees.has(id)) {
      memory.trees.set(id, { nodes: nodesOf(view.all.words.where("case", id).rows),
        answers: view.all.answers.where("case", id).rows, about: view.all.cases.where("case", id).rows[0] });
    }
    const { nodes, answers, about } = memory.trees.get(id), grid = answers.map((a) => a.omega);
    const steps = walk(nodes, omega), plain = walk(nodes, 0);
    // Where this answer leaves the plain one; where it is the plain one, where the next other answer leaves it.
    const leaves = (other) => steps.findIndex((s, i) => !other[i] || s.taken !== other[i].taken);
    const further = [0, ...grid.filter((w) => w > omega), ...grid.filter((w) => w < omega).reverse()];
    let part = -1;
    for (const w of further) if ((part = leaves(walk(nodes, w))) >= 0) break;
    const own = view.state.at === `${id} ${omega}` ? Math.min(view.state.place, steps.length - 1) : Math.max(part, 0);
    return { id, omega, about, grid, nodes, answers, steps, plain, place: own,
      answer: answers.find((a) => omegaKey(a.omega) === omegaKey(omega)) };
  }

  const verdict = ({ outcome }) => RULES[outcome] || JUDGED[outcome] || SC.text(outcome);
  function reader(now) {
    const label = now.answer.reader;
    if (!label) return "";
    if (label === "none") return " Our reader found nothing there to judge.";
    return ` Our reader: ${label === now.about.kind ? "right" : SC.text(label)}.`;
  }

  /** Outcomes along ω: a band that can be read and pressed. */
  function band(view, now) {
    const { svg } = view, high = 46, picture = view.picture(high, { name: "What became of the answers, by ω" });
    const left = 4, each = (view.width - 8) / now.grid.length, looks = view.options.outcomes || {};
    const text = [];
    const fill = (outcome) => view.hex[looks[outcome] || "grey"], marks = [];
    for (let i = 0; i < now.answers.length; ) {
      let j = i;
      while (j + 1 < now.answers.length && now.answers[j + 1].outcome === now.answers[i].outcome) j++;
      const x = left + i * each, wide = (j - i + 1) * each, colour = fill(now.answers[i].outcome);
      picture.append(svg("rect", { x, y: 4, width: wide - 1, height: 22, style: { fill: colour } }));
      const room = SC.measure(now.answers[i].outcome, 11.5) + 10;
      if (room < wide) { // its name, where it has room beside the lines between answers
        let at = i;
        for (let k = i, from = i; k <= j; k++) {
          if (now.answers[k].output !== now.answers[from].output) from = k;
          if ((k + 1 - from) * each >= room) { at = from; break; }
        }
        text.push(svg("text", { x: left + at * each + 5, y: 19, class: "sc-halo", style: { fill: SC.inkOn(colour), stroke: colour } }, SC.text(now.answers[i].outcome)));
      }
      i = j + 1;
    }
    now.answers.forEach((a, i) => {
      const x = left + i * each;
      if (i && a.output !== now.answers[i - 1].output) { // another answer begins
        picture.append(svg("line", { x1: x - 0.5, x2: x - 0.5, y1: 4, y2: 26, style: { stroke: view.colours.ground, "stroke-width": "1.5" } }));
      }
      if (Math.round(a.omega * 100) % 20 === 0) {
        picture.append(svg("text", { x: x + each / 2, y: 42, "text-anchor": "middle", class: "sc-muted" }, SC.format(a.omega, ".1f")));
      }
      marks.push({ x: x + each / 2, y: 15, box: [x, 2, each, 26], near: true, group: "ω", omega: a.omega,
        lines: [["ω", two(a.omega)], SC.text(a.output || "nothing", 200), verdict(a)] });
    });
    const at = now.grid.findIndex((w) => omegaKey(w) === omegaKey(now.omega));
    picture.append(svg("rect", { x: left + at * each - 0.5, y: 2, width: each, height: 26, rx: 2, style: { fill: "none", stroke: view.colours.ink, "stroke-width": "2" } }));
    picture.append(...text); // over the lines between answers and the frame
    view.read(picture, marks, { pick: (mark) => view.set({ omega: mark.omega }) });
  }

  SC.explorers.dial = {
    state: () => ({ place: 0, at: "" }),

    draw(view) {
      const { html, root, options } = view, now = (view.memory.now = current(view)), { about, steps, place, nodes } = now;
      if (!options.compact) {
        root.append(html("p", { class: "sc-m-asked" }, html("b", {}, "Asked: "), SC.text(about.instruction), " ", SC.text(about.premise)),
          html("p", { class: "sc-m-asked" }, html("b", {}, "Subtracted: "), SC.text(about.subtracted)));
      }
      const glued = (step) => step && step.taken.token !== "" && !/^\s/.test(step.taken.token);
      const pieces = (path) => path.map((s) => name(s.taken.token));
      const fresh = SC.changed(pieces(now.plain), pieces(steps));
      const groups = []; // the tokens of a word stay on one line
      steps.forEach((step, i) => {
        const follows = i > 0 && glued(step);
        if (!follows) groups.push([]);
        groups.at(-1).push(SC.wordButton(view, { text: name(step.taken.token), at: i, place, fresh: fresh[i], count: steps.length,
          glued: follows, joins: glued(steps[i + 1]), set: (to) => ({ place: to, at: `${now.id} ${now.omega}` }) }));
      });
      root.append(html("div", { class: "sc-m-sentence", role: "toolbar", "aria-label": "The answer, token by token: press one to look into it" },
        groups.map((group) => html("span", { class: "sc-m-joined" }, group))));
      const read = now.answer.output !== joined(steps) ? ` Read as: “${SC.text(now.answer.output)}”` : "";
      root.append(html("p", { class: "sc-m-verdict" }, html("i", { style: { background: view.colours[(options.outcomes || {})[now.answer.outcome] || "grey"] } }),
        html("b", {}, verdict(now.answer)), "." + reader(now) + read));
      band(view, now);
      const step = steps[place], ways = nodes[step.node].filter((c) => c.shares.size), leaders = weighed(nodes, step, now.omega);
      root.append(SC.wordBars(view, {
        title: [`Token ${place + 1}: `, html("b", {}, name(step.taken.token)), ways.length === 1 ? " for every ω whose answer begins so" : ""],
        more: ways.length > 1 && html("p", { class: "sc-m-ways" }, "Here the answers part. ω ", ways.map((c, i) => [i ? "; " : "", stretches(now.grid, new Set(c.shares.keys())), ": ", html("b", {}, name(c.token))]), "."),
        names: options.views, words: leaders.slice(0, view.narrow ? 6 : 8).map((c) => ({ text: name(c.token), chosen: c.chosen, p: c.p })),
        fine: true, width: (p) => Math.max(0, 1 - Math.log10(Math.max(p, 1e-12)) / FLOOR), format: probability,
        note: "Bars on a logarithmic scale, from one in a million to 1.",
      }));
    },

    describe(view) {
      const now = view.memory.now, step = now.steps[now.place], [best] = weighed(now.nodes, step, now.omega);
      return `Recorded. Asked for what must ${ASKED[now.about.kind] || SC.text(now.about.kind)} “${SC.text(now.about.premise)}”, `
        + `${SC.text(view.options.writer)} writes at ω = ${two(now.omega)}: ${joined(now.steps) || "nothing"} `
        + `It is ${verdict(now.answer)}.${reader(now)} Token ${now.place + 1}, ${name(step.taken.token)}: `
        + `${best.p.map(probability).map((p, k) => `${p} ${view.options.views[k]}`).join(", ")}.`;
    },
  };
})(SC);
