/* The dual reward of ART (chapter 07): similarity across, probability of the asked-for label upwards,
   the reward as colour. The kernels are those of synthlib/rewards.py; tests/test_explorer_reward.py
   compares them.

   Tables: answers {row, kind, candidate, similarity, p, right, anchor, text}, and, where there is one,
   policy {step, kind, similarity, p, right, anchor, text}. Controls: kind, omega, alpha_positive,
   alpha_negative, w1, w2, n (best of n), whole (all similarities, or those where the answers are), and with
   a policy: shown ("generator" | "policy"), step. Green earns and purple costs: blue and orange are the
   answers' own colours. */
"use strict";

SC.reward = {
  r1: (p, omega) => p - omega,
  r2: (s, kind, alpha) => (kind === "positive" ? (1 - s) * Math.sign(s - alpha) : s * Math.sign(alpha - s)),
  dual: (s, p, kind, o) => o.w1 * SC.reward.r1(p, o.omega)
    + o.w2 * SC.reward.r2(s, kind, kind === "positive" ? o.alpha_positive : o.alpha_negative),
  /** Of each request's first n answers the one that earns most; the earlier one where two earn the same. */
  best(rows, n, o) {
    const found = new Map();
    for (const row of rows) {
      if (row.candidate >= n) continue;
      const earned = SC.reward.dual(row.similarity, row.p, row.kind, o), known = found.get(row.row);
      if (!known || earned > known.earned) found.set(row.row, { row, earned });
    }
    return [...found.values()].map((entry) => entry.row);
  },
};

SC.explorers.reward = (() => {
  const LOW = -0.3, COLUMNS = 32, ROWS = 12, EDGE = 1e-6;
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const two = (v) => SC.format(v, ".2f"), signed = (v) => SC.format(v, "+.2f");
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const share = (rows) => `${SC.format(100 * mean(rows.map((r) => (r.right ? 1 : 0))), ".0f")} %`;
  const word = { positive: "positive", negative: "hard negative" };

  const alphaOf = (state) => (state.kind === "positive" ? state.alpha_positive : state.alpha_negative);
  /** Places along the similarity, with both sides of the cliff among them. */
  const places = (alpha, count, from = LOW) => {
    const even = Array.from({ length: count + 1 }, (_, i) => from + ((1 - from) * i) / count);
    const edges = [alpha - EDGE, alpha, alpha + EDGE].filter((s) => s > from && s < 1);
    return [...even, ...edges].sort((a, b) => a - b);
  };
  /** Where the picture begins: nine answers in ten of this kind, by whomever, lie to the right of it. */
  const start = (view) => {
    if (view.state.whole) return LOW;
    const all = Object.values(view.all).filter((t) => t.has("kind")).flatMap((t) => t.rows)
      .filter((r) => r.kind === view.state.kind && Number.isFinite(r.similarity)).map((r) => r.similarity).sort((a, b) => a - b);
    return all.length ? clamp(Math.floor(all[Math.floor(all.length / 10)] * 10 - 0.5) / 10, LOW, 0.8) : LOW;
  };
  function reading(view) {
    const o = view.state, { s, p } = o.probe, policy = o.shown === "policy";
    const table = view.table(policy ? "policy" : "answers");
    const rows = table.rows.filter((r) => r.kind === o.kind && Number.isFinite(r.similarity) && Number.isFinite(r.p));
    const at = (v) => SC.reward.dual(v, p, o.kind, o);
    const top = places(alphaOf(o), 400).reduce((a, b) => (at(b) > at(a) ? b : a));
    return {
      rows, policy, s, p, at, top, from: start(view), best: policy ? [] : SC.reward.best(rows, o.n, o),
      r1: SC.reward.r1(p, o.omega), r2: SC.reward.r2(s, o.kind, alphaOf(o)), r: at(s),
    };
  }
  function sentences(view) {
    const o = view.state, now = reading(view), out = [];
    out.push(`A ${word[o.kind]} of similarity ${two(now.s)} and probability ${two(now.p)}: r₁ ${signed(now.r1)}, r₂ ${signed(now.r2)}, reward ${signed(now.r)}.`);
    out.push(`At this probability the reward is greatest, ${signed(now.at(now.top))}, at a similarity of ${two(now.top)}.`);
    if (!now.rows.length) out.push(`No ${word[o.kind]} is shown.`);
    else if (now.policy) out.push(`The policy's ${now.rows.length} answers at step ${SC.number(o.step)}: ${share(now.rows)} right, mean similarity ${two(mean(now.rows.map((r) => r.similarity)))}.`);
    else {
      const single = now.rows.filter((r) => r.candidate === 0);
      out.push(`Single answers: ${share(single)} right, mean similarity ${two(mean(single.map((r) => r.similarity)))}. ` +
        `Best of ${o.n} by this reward: ${share(now.best)} right, mean similarity ${two(mean(now.best.map((r) => r.similarity)))}.`);
    }
    return out;
  }

  const ground = (view, value) => (value > 0 ? view.colours.green : view.colours.purple);
  const strength = (share) => (0.6 * Math.abs(share)).toFixed(3); // the answers are to be seen before the colour
  const BAR = 44; // pixels below the map
  /** What the colours mean, in words and numbers: the scale below the map. */
  function scale(view, picture, f, box, most, least) {
    const g = view.svg("g", { class: "sc-scale" }), y = box.top + box.height + 8, middle = (f.left + f.right) / 2, half = (f.right - f.left) / 2, parts = 16;
    for (let i = -parts; i < parts; i++) {
      const share = (i + 0.5) / parts, [from, to] = [i, i + 1].map((k) => Math.round(middle + (half * k) / parts));
      g.append(view.svg("rect", { x: from, y, width: to - from, height: 10,
        style: { fill: ground(view, share) }, "fill-opacity": strength(share), "shape-rendering": "crispEdges" }));
    }
    for (const [x, anchor, text] of [[f.left, "start", `${signed(-least)} costs`], [middle, "middle", "0"], [f.right, "end", `earns ${signed(most)}`]])
      g.append(view.svg("text", { x, y: y + 25, "text-anchor": anchor }, text));
    g.append(view.svg("line", { x1: middle, x2: middle, y1: y - 2, y2: y + 12, style: { stroke: view.colours.ink }, "stroke-width": 1.4 }));
    picture.append(g);
  }

  function map(view, picture, box, now) {
    const o = view.state, alpha = alphaOf(o), from = now.from;
    const f = view.frame(picture, box, {
      x: { domain: [from, 1 + 0.02 * (1 - from)], label: "similarity of anchor and answer", grid: false },
      y: { domain: [-0.03, 1.03], label: "probability of the asked-for label", grid: false, ticks: [0, 0.25, 0.5, 0.75, 1] },
    });
    // Cells between neighbouring places, so that no cell lies across the cliff.
    const edges = places(alpha, COLUMNS, from).filter((s, i, all) => !i || s - all[i - 1] > EDGE / 2);
    const values = [];
    for (let i = 0; i + 1 < edges.length; i++) for (let j = 0; j < ROWS; j++)
      values.push([i, j, SC.reward.dual((edges[i] + edges[i + 1]) / 2, (j + 0.5) / ROWS, o.kind, o)]);
    // What is earned and what is lost each go to the end of their own colour.
    const most = Math.max(0.01, ...values.map((v) => v[2])), least = Math.max(0.01, ...values.map((v) => -v[2]));
    for (const [i, j, value] of values) {
      // Whole pixels: where two half-clear cells overlap there would be a line.
      const [x, right] = [edges[i], edges[i + 1]].map((v) => Math.round(f.x(v))), [y, below] = [(j + 1) / ROWS, j / ROWS].map((v) => Math.round(f.y(v)));
      f.back.append(view.svg("rect", { x, y, width: right - x, height: below - y,
        style: { fill: ground(view, value) }, "fill-opacity": strength(value / (value > 0 ? most : least)), "shape-rendering": "crispEdges" }));
    }
    scale(view, picture, f, box, most, least);
    // Where the reward is nothing: the line between earning and losing.
    const side = [[from, Math.min(alpha, 1) - EDGE], [Math.max(alpha, from) + EDGE, 1]];
    for (const [begin, to] of side) {
      const line = [];
      for (let k = 0; o.w1 > 0 && to > begin && k <= 60; k++) {
        const s = begin + ((to - begin) * k) / 60, p = o.omega - (o.w2 / o.w1) * SC.reward.r2(s, o.kind, alpha);
        if (p >= 0 && p <= 1) line.push(`${f.x(s).toFixed(1)},${f.y(p).toFixed(1)}`);
      }
      if (line.length > 1) f.g.append(view.svg("polyline", { points: line.join(" "), fill: "none", style: { stroke: view.colours.ink }, "stroke-width": 1.4 }));
    }
    if (alpha > from && alpha < 1) {
      const x = f.x(alpha), left = alpha > (1 + from) / 2;
      f.g.append(view.svg("line", { x1: x, x2: x, y1: f.top, y2: f.bottom, style: { stroke: view.colours.ink }, "stroke-width": 1.6, "stroke-dasharray": "5 4" }),
        view.svg("text", { x: x + (left ? -5 : 5), y: (f.top + f.bottom) / 2, "text-anchor": left ? "end" : "start", style: { "font-weight": 700 } }, o.kind === "positive" ? "α⁺" : "α⁻"));
    }
    return f;
  }

  function cut(view, picture, box, now) {
    const o = view.state, alpha = alphaOf(o), line = places(alpha, 200, now.from).filter((s) => s !== alpha);
    const earned = line.map(now.at);
    const f = view.frame(picture, box, {
      x: { domain: [now.from, 1], label: "similarity" }, y: { domain: SC.extent([...earned, 0], 0.08), label: "reward" },
      title: `The cut at probability ${two(now.p)}`,
    });
    f.back.append(view.svg("line", { x1: f.left, x2: f.right, y1: f.y(0), y2: f.y(0), class: "sc-axis" }));
    for (const part of [(s) => s < alpha, (s) => s > alpha]) {
      const points = line.filter(part).map((s) => `${f.x(s).toFixed(1)},${f.y(now.at(s)).toFixed(1)}`);
      if (points.length > 1) f.g.append(view.svg("polyline", { points: points.join(" "), fill: "none", style: { stroke: view.colours.blue }, "stroke-width": 2.2 }));
    }
    if (now.top >= now.from) view.mark(f, "green", "^", f.x(now.top), f.y(now.at(now.top)) - 9, 6);
    if (now.s >= now.from) view.mark(f, "ink", "o", f.x(now.s), f.y(now.r), 5);
  }

  function draw(view) {
    const o = view.state, now = reading(view), wide = view.width >= 620;
    const high = wide ? 400 : 320, across = wide ? Math.round(view.width * 0.6) : view.width;
    const picture = view.picture(high + BAR + (wide ? 0 : 210), { name: "The landscape of the dual reward" });
    const f = map(view, picture, { left: 0, top: 0, width: across, height: high }, now);
    const who = view.options.who || "the oracle";
    const picked = new Set(now.best), marks = [], faint = { right: "", wrong: "" };
    const hidden = new Set(o.hidden || []), place = (row) => [f.x(clamp(row.similarity, LOW, 1)), f.y(row.p)];
    const shown = now.rows.filter((row) => !hidden.has(row.right ? "right" : "wrong") && (o.whole || row.similarity >= now.from));
    // Answers that were not picked are many: all right ones are one path, all wrong ones another.
    for (const row of shown.filter((r) => !now.policy && !picked.has(r))) {
      const [x, y] = place(row).map((v) => v.toFixed(1));
      if (row.right) faint.right += `M${x},${y}m-2.6,0a2.6,2.6 0 1,0 5.2,0a2.6,2.6 0 1,0 -5.2,0`;
      else faint.wrong += `M${x},${y}m-2.4,-2.4l4.8,4.8m0,-4.8l-4.8,4.8`;
    }
    f.g.append(view.svg("path", { d: faint.right || "M0,0", opacity: 0.5, style: { fill: view.colours.blue } }),
      view.svg("path", { d: faint.wrong || "M0,0", opacity: 0.7, fill: "none", "stroke-width": 1.5, style: { stroke: view.colours.orange } }));
    for (const row of shown.filter((r) => now.policy || picked.has(r))) {
      const name = row.right ? "right" : "wrong", [x, y] = place(row);
      view.mark(f, row.right ? "blue" : "orange", row.right ? "o" : "X", x, y, 5, { stroke: view.hex.ink, "stroke-width": 1.2 });
      marks.push({
        x, y, group: name, row,
        lines: [row.anchor, `→ ${SC.text(row.text)}`, ["similarity", two(row.similarity)], ["probability", two(row.p)],
          ["reward", signed(SC.reward.dual(row.similarity, row.p, row.kind, o))], [`${who} says`, name]],
      });
    }
    cut(view, picture, wide ? { left: across + 6, top: 0, width: view.width - across - 6, height: high }
      : { left: 0, top: high + BAR + 8, width: view.width, height: 200 }, now);
    view.read(picture, marks.sort((a, b) => a.x - b.x), {
      pick: (mark) => view.set({ probe: { s: mark.row.similarity, p: mark.row.p } }),
    });
    // The probe lies above everything else.
    const x = f.x(clamp(now.s, now.from, 1)), y = f.y(now.p), right = now.s > (1 + now.from) / 2;
    const handle = view.svg("g", {},
      view.svg("line", { x1: f.left, x2: f.right, y1: y, y2: y, style: { stroke: view.colours.ink }, "stroke-width": 1, opacity: 0.6 }),
      view.svg("circle", { cx: x, cy: y, r: 16, fill: "transparent" }),
      view.svg("circle", { cx: x, cy: y, r: 8, style: { fill: view.colours.ground, stroke: view.colours.ink }, "stroke-width": 3 }),
      view.svg("text", { x: x + (right ? -14 : 14), y: y + (now.p > 0.85 ? 24 : -12), "text-anchor": right ? "end" : "start",
        style: { "font-weight": 700, "paint-order": "stroke", stroke: view.hex.ground, "stroke-width": "4px" } }, `r = ${signed(now.r)}`));
    picture.append(handle);
    const to = (s, p) => view.set({ probe: { s: Number(clamp(s, LOW, 1).toFixed(3)), p: Number(clamp(p, 0, 1).toFixed(3)) } });
    view.drag(handle, {
      move: (px, py) => to(f.x.invert(px), f.y.invert(py)), key: (dx, dy) => to(o.probe.s + dx * 0.01, o.probe.p + dy * 0.01),
      label: "Probe: arrow keys change similarity and probability", name: "probe", value: `similarity ${two(now.s)}, probability ${two(now.p)}, reward ${signed(now.r)}`,
    });
    view.legend([{ value: "right", label: `right, by ${who}`, token: "blue", marker: "o", kind: "dot" },
      { value: "wrong", label: "wrong", token: "orange", marker: "X", kind: "dot" }],
      { title: now.policy ? "the policy's answers:" : "answers (large: what earns most):" });
    const outside = now.rows.filter((row) => !o.whole && row.similarity < now.from).length;
    if (outside) view.root.append(view.html("p", { style: { margin: "0.2em 0", "font-size": "13px" } },
      `${outside} of ${now.rows.length} answers lie further to the left: tick “whole plane”.`));
    view.root.append(view.html("div", { style: { "font-size": "13px" } }, sentences(view).map((text) => view.html("p", { style: { margin: "0.2em 0" } }, text))));
  }
  return {
    state: (view) => ({ probe: view.options.probe || { s: 0.8, p: 0.9 }, ...(view.all.policy ? {} : { shown: "generator" }) }),
    draw, describe: (view) => sentences(view).join(" "),
  };
})();
