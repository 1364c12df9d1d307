/* MultiCSR's Fig. 3 and Table 6: triplets as points (a, b), the three thresholds, and what they keep.

   Tables: triplets (a, b, a_expected, b_expected, right, positive_is, negative_is, anchor, positive, negative),
   grid (scores, alpha, beta, gamma, dev, paper: the settings of Table 6 with their encoders' scores).
   Controls: scores ("written" or "expected"), alpha, beta, gamma ("–": no third rule), cells.
   Own state: picked (a triplet's row).                                                                */
"use strict";

(() => {
  const { svg, html } = SC;
  const NONE = "–", HIGH = 5;

  // ------------------------------------------------------------------ what mirrors synthlib.curation
  /** The rules that a triplet breaks, as `experiments.ch04.fate` has them: "kept", "α β", "unread". */
  function fate(a, b, rule) {
    if (!Number.isFinite(a) || !Number.isFinite(b)) return "unread";
    const margin = typeof rule.gamma === "number" ? rule.gamma : -Infinity;
    const broken = [a >= rule.alpha ? "" : "α", b <= rule.beta ? "" : "β", a >= b + margin ? "" : "γ"];
    return broken.filter(Boolean).join(" ") || "kept";
  }
  /** `curation.Thresholds.keep` of one triplet; comparisons with what is no number are false there, too. */
  const keeps = (a, b, rule) => Number.isFinite(a) && Number.isFinite(b) && a >= rule.alpha && b <= rule.beta
    && (typeof rule.gamma !== "number" || a >= b + rule.gamma);
  /** `curation.Thresholds.report`, and `experiments.ch04.quality` (shares in percent, null without a whole). */
  function tally(a, b, right, rule) {
    const n = { triplets: a.length, kept: 0, unread: 0, below_alpha: 0, above_beta: 0, within_gamma: 0 };
    let good = 0, all = 0;
    for (let i = 0; i < a.length; i++) {
      if (right[i]) all++;
      if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) { n.unread++; continue; }
      const [low, high, near] = [a[i] < rule.alpha, b[i] > rule.beta, typeof rule.gamma === "number" && a[i] < b[i] + rule.gamma];
      if (low) n.below_alpha++;
      if (high) n.above_beta++;
      if (near) n.within_gamma++;
      if (!low && !high && !near) { n.kept++; if (right[i]) good++; }
    }
    const share = (part, whole) => (whole ? (100 * part) / whole : null);
    return { ...n, right_kept: good, share: share(n.kept, n.triplets), precision: share(good, n.kept), recall: share(good, all) };
  }
  /** Corners of the kept region in the square [low, high]², in order; none where nothing can be kept. */
  function region(rule, low, high) {
    const sides = [[1, 0, rule.alpha], [0, -1, -rule.beta]];
    if (typeof rule.gamma === "number") sides.push([1, -1, rule.gamma]);
    let points = [[low, low], [high, low], [high, high], [low, high]];
    for (const [p, q, r] of sides) { // cut off what lies outside of one side after the other
      const inside = ([x, y]) => p * x + q * y - r, next = [];
      points.forEach((point, i) => {
        const other = points[(i + 1) % points.length], [u, v] = [inside(point), inside(other)];
        if (u >= 0) next.push(point);
        if ((u > 0 && v < 0) || (u < 0 && v > 0)) next.push([0, 1].map((k) => point[k] + (u / (u - v)) * (other[k] - point[k])));
      });
      points = next;
    }
    return points;
  }

  // ------------------------------------------------------------------ what is shown now
  const number = (value, digits = 1) => (value === null ? NONE : SC.format(value, `.${digits}f`));
  const percent = (value) => (value === null ? NONE : `${SC.format(value, ".0f")} %`);
  const name = (rule) => `(${[rule.alpha, rule.beta, rule.gamma].map((v) => (typeof v === "number" ? SC.number(v) : NONE)).join(", ")})`;
  const same = (x, y) => ["alpha", "beta", "gamma"].every((key) => x[key] === y[key]);

  function now(view) {
    const all = view.all.triplets, s = view.state, expected = s.scores === "expected";
    const rule = { alpha: s.alpha, beta: s.beta, gamma: typeof s.gamma === "number" ? s.gamma : NONE };
    const [a, b] = [expected ? "a_expected" : "a", expected ? "b_expected" : "b"].map((c) => all.col(c));
    return { all, rule, a, b, expected, right: all.col("right"), found: tally(a, b, all.col("right"), rule) };
  }
  /** Rows of triplets by the point on which they lie. */
  function spots(view, { a, b, right, expected }) {
    const key = `spots ${expected}`;
    if (!view.memory[key]) {
      const found = new Map();
      for (let i = 0; i < a.length; i++) {
        if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) continue;
        const at = `${a[i]} ${b[i]}`;
        if (!found.has(at)) found.set(at, { a: a[i], b: b[i], rows: [], good: 0 });
        const spot = found.get(at);
        spot.rows.push(i);
        if (right[i]) spot.good++;
      }
      view.memory[key] = found;
    }
    return view.memory[key];
  }

  function state(view) {
    const { a, b, rule } = now(view);
    return { picked: Math.max(0, a.findIndex((_, i) => keeps(a[i], b[i], rule))) };
  }

  // ------------------------------------------------------------------ the points and the kept region
  function plane(view, it, width, into) {
    const side = Math.min(width, 420), low = -0.4, high = 5.45, colours = view.colours;
    const picture = view.picture(side, { width: side, name: "Triplets as points" });
    into.append(picture.parentNode);
    const axes = view.frame(picture, { left: 0, top: 0, width: side, height: side }, {
      x: { domain: [low, high], label: "a: anchor and positive", ticks: [0, 1, 2, 3, 4, 5] },
      y: { domain: [low, high], label: "b: anchor and hard negative", ticks: [0, 1, 2, 3, 4, 5] },
    });
    const { x, y } = axes, corners = region(it.rule, low, high);
    const path = (points) => points.map(([p, q], i) => `${i ? "L" : "M"}${x(p).toFixed(1)},${y(q).toFixed(1)}`).join("");
    if (corners.length > 2) axes.back.append(svg("path", { class: "sc-kept", d: path(corners) + "z",
      style: { fill: colours.gold, "fill-opacity": 0.22, stroke: colours.gold, "stroke-width": 1.5 } }));

    const hidden = new Set(view.state.hidden || []), found = spots(view, it);
    const largest = Math.max(1, ...[...found.values()].map((s) => s.rows.length));
    const radius = (count) => (it.expected ? 2.6 : Math.max(2.5, 17 * (side / 420) * Math.sqrt(count / largest)));
    if (it.expected) {
      for (const [verdict, token, marker] of [[true, "blue", "o"], [false, "orange", "s"]]) {
        if (hidden.has(verdict ? "right" : "wrong")) continue;
        const shape = SC.marker(marker, 2.6).slice(1); // all dots of a colour in one path: a thousand cost as much as one
        let d = "";
        for (let i = 0; i < it.a.length; i++)
          if (it.right[i] === verdict && Number.isFinite(it.a[i]) && Number.isFinite(it.b[i])) {
            const [dx, dy] = shape.split(/[^-\d.]/, 2).map(Number);
            d += `M${(x(it.a[i]) + dx).toFixed(1)},${(y(it.b[i]) + dy).toFixed(1)}${shape.slice(shape.search(/[a-z]/i))}`;
          }
        axes.g.append(svg("path", { d, style: { fill: colours[token], "fill-opacity": 0.6 } }));
      }
    } else for (const spot of found.values()) {
      const good = hidden.has("right") ? 0 : spot.good;
      const bad = hidden.has("wrong") ? 0 : spot.rows.length - spot.good, r = radius(good + bad);
      if (good + bad === 0) continue;
      const [cx, cy] = [x(spot.a), y(spot.b)], share = bad / (good + bad), turn = 2 * Math.PI * share;
      axes.g.append(svg("circle", { cx, cy, r, style: { fill: colours[share === 1 ? "orange" : "blue"], "fill-opacity": 0.85 } }));
      if (share > 0 && share < 1) axes.g.append(svg("path", { style: { fill: colours.orange },
        d: `M${cx},${cy}V${cy - r}A${r},${r} 0 ${share > 0.5 ? 1 : 0},1 ${cx + r * Math.sin(turn)},${cy - r * Math.cos(turn)}z` }));
    }
    const picked = [it.a[view.state.picked], it.b[view.state.picked]];
    if (picked.every(Number.isFinite)) {
      const rows = (found.get(picked.join(" ")) || { rows: [0] }).rows;
      axes.g.append(svg("circle", { cx: x(picked[0]), cy: y(picked[1]), r: radius(rows.length) + 4,
        style: { fill: "none", stroke: colours.ink, "stroke-width": 2 } }));
    }
    // Each threshold is a line with a handle: what the sliders do, on the picture itself.
    const snap = (value) => Math.min(HIGH, Math.max(0, Math.round(value * 4) / 4));
    const gamma = typeof it.rule.gamma === "number" ? it.rule.gamma : null;
    const handles = [
      ["α", [[it.rule.alpha, low], [it.rule.alpha, high]], [it.rule.alpha, high - 0.14], (p) => ({ alpha: snap(p) })],
      ["β", [[low, it.rule.beta], [high, it.rule.beta]], [low + 0.14, it.rule.beta], (p, q) => ({ beta: snap(q) })],
    ];
    if (gamma !== null) handles.push(["γ", [[low + gamma, low], [high, high - gamma]], [(4.4 + gamma) / 2, (4.4 - gamma) / 2], (p, q) => ({ gamma: snap(p - q) })]);
    view.read(picture, [...found.values()].sort((s, t) => Math.round(2 * t.b) - Math.round(2 * s.b) || s.a - t.a).map((spot) => {
      const digits = it.expected ? 2 : 1;
      return { x: x(spot.a), y: y(spot.b), r: radius(spot.rows.length), group: Math.round(2 * spot.b), rows: spot.rows,
        get lines() {
          const found = fate(spot.a, spot.b, it.rule);
          return [["a", number(spot.a, digits)], ["b", number(spot.b, digits)], ["triplets", spot.rows.length],
            ["right by the oracle", spot.good], found === "kept" ? found : `out by ${found}`];
        } };
    }), { pick: (mark) => view.set({ picked: mark.rows[0] }), reach: 30 });
    for (const [letter, ends, at, moved] of handles) {
      const [[p, q], [r, s]] = ends.map(([u, v]) => [x(u), y(v)]);
      const line = { x1: p, y1: q, x2: r, y2: s };
      const handle = svg("g", { class: "sc-handle", "data-handle": letter, style: { cursor: "grab", "touch-action": "none" } },
        svg("line", { ...line, style: { stroke: colours.ink, "stroke-width": 1.2, "stroke-dasharray": "5 3" } }),
        svg("line", { ...line, style: { stroke: "transparent", "stroke-width": 12 } }),
        svg("circle", { cx: x(at[0]), cy: y(at[1]), r: 12, style: { fill: colours.ground, stroke: colours.ink, "stroke-width": 1.2 } }),
        svg("text", { x: x(at[0]), y: y(at[1]) + 4.5, "text-anchor": "middle", style: { "font-size": "13px", fill: colours.ink } }, letter));
      axes.g.append(view.drag(handle, { move: (u, v) => view.set(moved(x.invert(u), y.invert(v))), label: letter }));
    }
  }

  // ------------------------------------------------------------------ counts and sentences
  // No table: a page's style of tables must not reach into a figure.
  function counts(it) {
    const { found } = it, row = (label, value, note) => html("div", { style: { display: "flex", "justify-content": "space-between", gap: "0.8em", padding: "0.15rem 0" } },
      html("span", {}, label + " "), html("span", { style: { "text-align": "right", "white-space": "nowrap" } }, html("b", {}, value), note ? ` ${note}` : ""));
    return html("div", { class: "sc-counts", style: { "font-size": "0.88rem" } },
      row("kept", found.kept, `of ${found.triplets} (${percent(found.share)})`),
      row("out by α / β / γ", `${found.below_alpha} / ${found.above_beta} / ${found.within_gamma}`),
      row("right among the kept *", percent(found.precision)),
      row("kept among the right *", percent(found.recall)),
      html("div", { style: { "font-size": "0.8rem", color: "var(--sc-muted)" } }, "* by the oracle, which the method never sees"));
  }

  function presets(view, it) {
    const rows = view.all.grid.rows.filter((r) => r.scores === "text").map((r) => ({ alpha: r.alpha, beta: r.beta, gamma: r.gamma ?? NONE }));
    const at = rows.findIndex((r) => same(r, it.rule)), id = `sc-preset-${view.label || ""}`;
    const select = html("select", { id, key: "preset", style: { "min-height": "24px" }, on: { change: () => { if (select.selectedIndex) view.set(rows[select.selectedIndex - 1]); } } },
      html("option", {}, "a setting of your own"), rows.map((r) => html("option", {}, name(r))));
    select.selectedIndex = at + 1;
    return html("div", { class: "sc-control" }, html("label", { for: id }, "row of Table 6"), select);
  }

  function card(view, it) {
    const i = view.state.picked, row = it.all.rows[i];
    if (!row) return null;
    const digits = it.expected ? 2 : 1, rule = fate(it.a[i], it.b[i], it.rule);
    const mates = ((spots(view, it).get(`${it.a[i]} ${it.b[i]}`)) || { rows: [i] }).rows, at = mates.indexOf(i);
    const line = (what, said, note) => html("p", { style: { margin: "0.25rem 0" } }, html("span", { style: { color: "var(--sc-muted)" } }, what + " "), html("span", { class: "sc-said" }, said), note ? html("span", { style: { color: "var(--sc-muted)" } }, ` ${note}`) : "");
    const step = (text, by, label) => html("button", { type: "button", key: `step ${by}`, "aria-label": label, style: { "min-width": "32px", "min-height": "28px" },
      on: { click: () => view.set({ picked: mates[(at + by + mates.length) % mates.length] }) } }, text);
    return html("div", { class: "sc-card", style: { "font-size": "0.88rem", "border-top": "1px solid var(--sc-grid)", "margin-top": "0.5rem", "padding-top": "0.4rem" } },
      html("p", { style: { margin: "0 0 0.25rem" } }, html("b", {}, rule === "kept" ? "kept" : rule === "unread" ? "unread: not kept" : `out by ${rule}`), `, ${row.right ? "right" : "wrong"} by the oracle *`),
      line("anchor", row.anchor),
      line(`positive, a = ${number(it.a[i], digits)}`, row.positive, `(oracle: ${row.positive_is})`),
      line(`hard negative, b = ${number(it.b[i], digits)}`, row.negative, `(oracle: ${row.negative_is})`),
      mates.length > 1 && html("p", { style: { margin: "0.35rem 0 0", display: "flex", gap: "0.5rem", "align-items": "center" } },
        step("‹", -1, "the triplet before on this spot"), `${at + 1} of ${mates.length} on this spot`, step("›", 1, "the next triplet on this spot")));
  }

  // ------------------------------------------------------------------ Table 6
  const ALPHAS = [5, 4, 3, 2, 1], BETAS = [0, 1, 2, 3, 4], GAMMAS = [NONE, 1, 2, 3, 4];
  const MEASURES = {
    kept: "kept (%)", right: "right among the kept (%), by the oracle",
    dev: "development set here, Spearman × 100, mean of three seeds from the ledger", paper: "development set in the paper, Spearman × 100",
  };

  function cells(view, it) {
    const key = `cells ${it.expected}`;
    if (!view.memory[key]) {
      const how = it.expected ? "expected" : "text", rows = view.all.grid.rows;
      view.memory[key] = GAMMAS.flatMap((gamma) => ALPHAS.flatMap((alpha) => BETAS.map((beta) => {
        const rule = { alpha, beta, gamma }, of = (scores) => rows.find((r) => r.scores === scores && same({ ...r, gamma: r.gamma ?? NONE }, rule));
        const live = tally(it.a, it.b, it.right, rule), [own, paper] = [of(how), of("text")];
        return { ...rule, rule, kept: live.share, right: live.precision, dev: own ? own.dev : null, paper: paper ? paper.paper : null, listed: Boolean(paper) };
      })));
    }
    return view.memory[key];
  }

  function grids(view, it) {
    const columns = view.narrow ? 2 : 5, gap = view.narrow ? 16 : 14, left = 30, top = 18, foot = 20;
    const cell = Math.max(20, Math.min(26, Math.floor(((view.width - left) / columns - gap) / 5)));
    const side = 5 * cell, high = top + side + foot, rows = Math.ceil(GAMMAS.length / columns);
    const words = MEASURES[view.state.cells], every = cells(view, it), [low, most] = SC.extent(every.map((c) => c[view.state.cells]));
    const picture = view.picture(rows * high + 16, { name: `Grid of thresholds: ${words}` });
    const text = (x, y, anchor, said) => svg("text", { x, y, "text-anchor": anchor, style: { "font-size": "11.5px" } }, said);
    picture.append(text(0, 12, "start", "α"));
    const marks = [];
    GAMMAS.forEach((gamma, g) => {
      const x0 = left + (g % columns) * (side + gap), y0 = 4 + Math.floor(g / columns) * high;
      picture.append(text(x0 + side / 2, y0 + 10, "middle", typeof gamma === "number" ? `γ = ${gamma}` : "no γ"));
      BETAS.forEach((beta, k) => picture.append(text(x0 + (k + 0.5) * cell, y0 + top + side + 13, "middle", g || k ? beta : `β ${beta}`)));
      if (g % columns === 0) ALPHAS.forEach((alpha, k) => picture.append(text(x0 - 6, y0 + top + (k + 0.7) * cell, "end", alpha)));
      every.filter((c) => c.gamma === gamma).forEach((c) => {
        const [x, y] = [x0 + c.beta * cell, y0 + top + ALPHAS.indexOf(c.alpha) * cell];
        const value = c[view.state.cells], known = value !== null && value !== undefined, shade = known ? view.heat(value, low, most) : null;
        picture.append(svg("rect", { x: x + 0.5, y: y + 0.5, width: cell - 1, height: cell - 1, style: known ? { fill: shade.fill } : { fill: "none", stroke: view.colours.grid } }));
        if (known) picture.append(svg("text", { x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle", style: { "font-size": "11px", fill: shade.ink } }, SC.format(value, ".0f")));
        if (c.listed) picture.append(svg("rect", { x: x + 1.5, y: y + 1.5, width: cell - 3, height: cell - 3, style: { fill: "none", stroke: known ? shade.ink : view.colours.muted, "stroke-width": 1.2 } }));
        const chosen = same(c.rule, it.rule);
        if (chosen) marks.chosen = [x, y];
        marks.push({ x: x + cell / 2, y: y + cell / 2, box: [x, y, cell, cell], group: `${Math.floor(g / columns)} ${c.alpha}`, rule: c.rule,
          get lines() { return [["(α, β, γ)", name(c.rule)], ["kept", percent(c.kept)], ["right among the kept, by the oracle", percent(c.right)],
            ["encoder here", number(c.dev)], ["encoder in the paper", number(c.paper)], ...(c.listed ? [] : ["no row of Table 6"]), ...(chosen ? ["chosen"] : [])]; } });
      });
    });
    if (marks.chosen) picture.append(svg("rect", { class: "sc-chosen", x: marks.chosen[0], y: marks.chosen[1], width: cell, height: cell, style: { fill: "none", stroke: view.colours.ink, "stroke-width": 3 } }));
    marks.sort((m, n) => m.y - n.y || m.x - n.x);
    picture.parentNode.style.marginTop = "0.6rem";
    view.read(picture, marks, { pick: (mark) => view.set(mark.rule) });
    view.root.append(html("p", { style: { margin: "0.1rem 0 0", "font-size": "0.82rem", color: "var(--sc-muted)" } },
      `Cells: ${words}. Framed: the 27 rows of Table 6. ${view.state.cells === "dev" || view.state.cells === "paper" ? "Empty: no encoder was trained there. " : ""}Press a cell to set the thresholds.`));
  }

  // ------------------------------------------------------------------ the figure
  function draw(view) {
    const it = now(view);
    if (!it.all.length) throw new Error("it has no triplets");
    const box = html("div", { style: { display: "flex", "flex-wrap": "wrap", gap: "0.5rem 1.2rem", "align-items": "flex-start" } });
    const left = html("div", { style: { flex: "0 0 auto" } }), side = html("div", { style: { flex: "1 1 15rem", "min-width": "0" } });
    view.root.append(box);
    box.append(left, side);
    plane(view, it, view.narrow ? view.width : Math.round(view.width * 0.57), left);
    view.legend([{ value: "right", label: "right (oracle)", token: "blue", marker: "o", kind: "dot" },
      { value: "wrong", label: "wrong (oracle)", token: "orange", marker: it.expected ? "s" : "o", kind: "dot" }], { into: left });
    side.append(presets(view, it), counts(it), card(view, it) || "");
    grids(view, it);
  }

  function describe(view) {
    const it = now(view), { found } = it, i = view.state.picked, row = it.all.rows[i];
    const here = cells(view, it).find((c) => same(c.rule, it.rule)), dev = here && here.dev !== null ? ` Encoders trained with this setting reached ${number(here.dev)} on the development set, mean of three seeds.` : "";
    return `Thresholds ${name(it.rule)} on ${it.expected ? "expected" : "written"} scores keep ${found.kept} of ${found.triplets} triplets (${percent(found.share)}), `
      + `${percent(found.precision)} of them right by the oracle; of the right triplets ${percent(found.recall)} are kept. `
      + `Out: ${found.below_alpha} by alpha, ${found.above_beta} by beta, ${found.within_gamma} by gamma.${dev}`
      + (row ? ` Selected: anchor “${row.anchor}”, a ${number(it.a[i], 2)} for “${row.positive}”, b ${number(it.b[i], 2)} for “${row.negative}”.` : "");
  }

  SC.explorers.thresholds = { state, draw, describe, logic: { fate, keeps, tally, region } };
})();
