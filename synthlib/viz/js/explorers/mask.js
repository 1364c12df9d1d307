/* The false-negative mask of a batch (MultiCSR § 3.3, Eq. 6): the guide's similarities of N anchors
   with 2N candidates, and below them as a histogram; σ is a slider and a line to drag.

   Tables: "pairs" (anchor, candidate, cosine, own, false negative; further columns for controls) and
   "sentences" (name, sentence). State: cell ([anchor, candidate] that is read), controls sigma and
   oracle. The rule mirrors losses.false_negative_keep; the oracle only judges. */
"use strict";

(() => {
  /** Whether σ masks a pair: similar enough, and not the row's own. */
  const masked = (pair, sigma) => !pair.own && pair.cosine >= sigma;

  /** What σ masks, and how much of it the oracle calls right. */
  function count(pairs, sigma) {
    const others = pairs.filter((p) => !p.own), hit = others.filter((p) => masked(p, sigma));
    const right = hit.filter((p) => p["false negative"]).length;
    return { others: others.length, masked: hit.length, right, wrong: hit.length - right, truth: others.filter((p) => p["false negative"]).length };
  }

  const two = (v) => SC.format(v, ".2f");
  const things = (n, name) => `${n} ${name}${n === 1 ? "" : "s"}`;
  const verdict = (p, sigma) => p.own ? "own pair, never masked"
    : masked(p, sigma) ? "masked" : "stays in the loss";
  const judged = (p, sigma) => p.own ? "" : p["false negative"]
    ? (masked(p, sigma) ? "a false negative, rightly masked" : "a false negative that is missed")
    : masked(p, sigma) ? "no false negative, masked wrongly" : "no false negative";
  const glyph = (p, sigma) => p["false negative"] ? (masked(p, sigma) ? "✓" : "○") : masked(p, sigma) ? "✗" : "";

  function draw(view) {
    const { html, svg } = view, { sigma, oracle } = view.state;
    const pairs = view.table("pairs").rows, all = view.all.pairs;
    if (!pairs.length) throw new Error("the table of pairs is empty");
    if (!pairs.every((p) => Number.isFinite(p.cosine))) throw new Error("a cosine is not a number");
    const words = new Map(view.table("sentences").rows.map((r) => [r.name, r.sentence]));
    const anchors = view.all.pairs.unique("anchor"), candidates = view.all.pairs.unique("candidate");
    const low = SC.extent(all.col("cosine"))[0], turned = view.narrow;
    const [across, down] = turned ? [anchors, candidates] : [candidates, anchors];
    const name = { anchor: "anchor", candidate: view.options.candidates || "candidate" };
    // The matrix; on a phone it stands upright.
    const picture = view.picture(down.length * (turned ? 25 : 28) + 56, { name: "Matrix of similarities" });
    const f = view.frame(picture, { left: 0, top: 0, width: view.width, height: down.length * (turned ? 25 : 28) + 56 },
      { x: { names: across, label: turned ? name.anchor : name.candidate }, y: { names: down, label: turned ? name.candidate : name.anchor }, bare: true });
    const marks = pairs.map((p) => {
      const c = f.x(across.indexOf(turned ? p.anchor : p.candidate)), r = f.y(down.indexOf(turned ? p.candidate : p.anchor));
      const box = [c - f.x.step / 2 + 1, r - f.y.step / 2 + 1, f.x.step - 2, f.y.step - 2], shade = view.heat(p.cosine, low, 1);
      const chosen = view.state.cell && view.state.cell[0] === p.anchor && view.state.cell[1] === p.candidate;
      f.g.append(svg("rect", { x: box[0], y: box[1], width: box[2], height: box[3], fill: shade.fill, class: masked(p, sigma) ? "sc-masked" : "sc-cell" }));
      if (masked(p, sigma)) f.g.append(svg("rect", { x: box[0] + 1, y: box[1] + 1, width: box[2] - 2, height: box[3] - 2, fill: "none", "stroke-width": 2.5, style: { stroke: view.colours.orange } }));
      if (chosen) f.g.append(svg("rect", { x: box[0] - 1, y: box[1] - 1, width: box[2] + 2, height: box[3] + 2, fill: "none", "stroke-width": 2, "stroke-dasharray": "4 2", style: { stroke: view.colours.ink } }));
      const text = p.own ? "own" : oracle ? glyph(p, sigma) : "";
      if (text) f.g.append(svg("text", { x: c, y: r + 4, "text-anchor": "middle", "font-size": p.own ? 11 : 14, "font-weight": p.own ? 400 : 700, fill: shade.ink, style: { fill: shade.ink } }, text));
      const lines = [[`anchor ${p.anchor}:`, words.get(p.anchor)], [`candidate ${p.candidate}:`, words.get(p.candidate)], ["cosine", `${two(p.cosine)}, ${verdict(p, sigma)}`]];
      if (oracle && !p.own) lines.push(["by the oracle:", judged(p, sigma)]);
      return { x: c, y: r, box, group: down[down.indexOf(turned ? p.candidate : p.anchor)], lines, pick: () => view.set({ cell: [p.anchor, p.candidate] }) };
    });
    const at = (m) => down.indexOf(m.group) * 1e5 + m.x;
    view.read(picture, marks.sort((a, b) => at(a) - at(b)));

    // The numbers, and the pair that is read.
    const n = count(pairs, sigma), b = (text) => html("b", {}, text);
    view.root.append(html("p", { class: "sc-count", style: { margin: "4px 0" } }, `σ = ${two(sigma)} masks `, b(`${n.masked} of ${n.others}`), " candidates of other rows.",
      oracle && [" By the oracle: ", b(things(n.right, "false negative")), ` of ${n.truth}, and `, b(n.wrong), " masked wrongly."]));
    view.root.append(html("p", { style: { margin: "0 0 4px", color: view.colours.muted } }, "Orange frames: masked.", oracle && " By the oracle: ✓ a false negative, ✗ masked wrongly, ○ a false negative that is missed."));
    const p = view.state.cell && pairs.find((q) => q.anchor === view.state.cell[0] && q.candidate === view.state.cell[1]);
    if (p) view.root.append(html("dl", { class: "sc-pair", style: { display: "grid", "grid-template-columns": "max-content 1fr", gap: "2px 10px", margin: "6px 0", "min-height": "6em", "align-content": "start" } },
      [[`anchor ${p.anchor}`, words.get(p.anchor)], [`candidate ${p.candidate}`, words.get(p.candidate)], ["cosine", `${SC.format(p.cosine, ".3f")}: ${verdict(p, sigma)}`],
        oracle && !p.own && ["the oracle", judged(p, sigma)]].filter(Boolean).map(([key, text]) => [
        html("dt", { style: { "font-weight": "600", margin: "0" } }, key), html("dd", { style: { margin: "0" } }, SC.text(text))])));

    // The histogram, σ as a line.
    const width = 0.05, from = Math.floor(low / width), others = pairs.filter((q) => !q.own);
    const bins = Array.from({ length: Math.round(1 / width) - from }, () => [0, 0]);
    for (const q of others) bins[Math.min(Math.floor(q.cosine / width + 1e-9) - from, bins.length - 1)][q["false negative"] && oracle ? 1 : 0]++;
    const most = Math.max(...bins.map(([a, c]) => a + c));
    const below = view.picture(190, { name: "Histogram of the same similarities" });
    const h = view.frame(below, { left: 0, top: 0, width: view.width, height: 190 },
      { x: { domain: [from * width, 1], label: "cosine of the guide, candidates of other rows" }, y: { domain: [0, most * 1.15], label: "pairs", whole: true } });
    const edge = h.x(Math.max(Math.min(sigma, 1), from * width));
    h.back.append(svg("rect", { x: edge, y: h.top, width: h.right - edge, height: h.height, "fill-opacity": 0.14, style: { fill: view.colours.orange } }));
    const bars = bins.map(([a, c], i) => {
      const x0 = h.x((from + i) * width) + 1, x1 = h.x((from + i + 1) * width) - 1;
      h.g.append(svg("rect", { x: x0, y: h.y(a), width: x1 - x0, height: h.bottom - h.y(a), style: { fill: view.colours.grey } }));
      if (c) h.g.append(svg("rect", { x: x0, y: h.y(a + c), width: x1 - x0, height: h.y(a) - h.y(a + c), style: { fill: view.colours.purple } }));
      const label = `${two((from + i) * width)} to ${two((from + i + 1) * width)}`;
      return { x: (x0 + x1) / 2, y: h.y(a + c), box: [x0, Math.min(h.y(a + c), h.bottom - 6), x1 - x0, Math.max(h.bottom - h.y(a + c), 6)], group: "bins",
        lines: [["cosine", label], ["pairs", a + c], ...(oracle ? [["false negatives, by the oracle", c]] : [])] };
    });
    if (oracle) {
      below.append(svg("rect", { x: h.left + 10, y: h.top + 6, width: 11, height: 11, style: { fill: view.colours.purple } }),
        svg("text", { x: h.left + 26, y: h.top + 16 }, "false negatives, by the oracle"));
    }
    view.read(below, bars);
    const line = svg("g", { class: "sc-sigma", style: { cursor: "ew-resize", "touch-action": "none" } },
      svg("rect", { x: edge - 14, y: h.top - 4, width: 28, height: h.height + 4, fill: "transparent" }),
      svg("line", { x1: edge, x2: edge, y1: h.top, y2: h.bottom, "stroke-width": 2.5, style: { stroke: view.colours.orange } }),
      svg("circle", { cx: edge, cy: h.top + 8, r: 7, style: { fill: view.colours.orange } }),
      svg("text", { x: edge + (edge > h.right - 60 ? -12 : 12), y: h.top + 34, "text-anchor": edge > h.right - 60 ? "end" : "start", "font-weight": 700 }, `σ = ${two(sigma)}`));
    below.append(line);
    const control = view.controls.find((c) => c.name === "sigma") || { min: -1, max: 1, step: 0.01 };
    view.drag(line, { move: (x) => {
      const value = Math.round(h.x.invert(x) / control.step) * control.step;
      view.set({ sigma: Number(Math.min(Math.max(value, control.min), control.max).toFixed(4)) });
    } });
  }

  function describe(view) {
    const { sigma, oracle } = view.state, n = count(view.table("pairs").rows, sigma);
    const chosen = view.controls.filter((c) => c.column).map((c) => `${SC.formula(c.label || c.name)}: ${SC.text(view.state[c.name])}. `).join("");
    return `${chosen}At σ = ${two(sigma)} the mask takes out ${n.masked} of ${n.others} candidates of other rows.` +
      (oracle ? ` By the oracle these are ${n.right} of the ${n.truth} false negatives, and ${n.wrong} that are none.` : "");
  }

  SC.explorers.mask = { state: (view) => ({ cell: view.options.cell || null }), draw, describe, masked, count };
})();
