/* The ranking paper's Fig. 1: similarities of the sentences of a list, for four ways to come by lists.

   Tables: lists (decoding, method, lam, list, kept, anchor, cosines, texts), texts (text, sentence),
   measured (decoding, method, which, lists, order, cosines): see experiments.ch10.py.
   Controls: decoding, show ("mean", "one", "ledger"), n, lam, kept, faintest. Options: lam, source, number (of measured).
   Own state: pins (up to two cells [method, i, j]).                                                */
"use strict";

(() => {
  const { svg, html } = SC;
  const FIRST = 16, LEVELS = 60;

  // ------------------------------------------------------------------ what mirrors experiments.ch10
  /** Average ranks from 1, as scipy's rankdata gives them. */
  function ranks(values) {
    const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]), found = Array(values.length);
    for (let from = 0, to; from < order.length; from = to) {
      for (to = from; to < order.length && values[order[to]] === values[order[from]];) to++;
      for (let k = from; k < to; k++) found[order[k]] = (from + to + 1) / 2;
    }
    return found;
  }
  /** `order`: Spearman's correlation of place and distance from the anchor; 0 where there is nothing to order. */
  function order(distance) {
    const place = [], values = [];
    distance.forEach((d, i) => { if (Number.isFinite(d)) { place.push(place.length); values.push(d); } });
    const r = ranks(values), n = r.length;
    if (n < 4 || r.every((v) => v === r[0])) return 0;
    const mean = (n - 1) / 2, middle = r.reduce((s, v) => s + v, 0) / n;
    let top = 0, a = 0, b = 0;
    for (let i = 0; i < n; i++) { const [p, q] = [place[i] - mean, r[i] - middle]; top += p * q; a += p * p; b += q * q; }
    return top / Math.sqrt(a * b);
  }
  /** `out_of_order`: whether each sentence is not less similar to the anchor than the one before. */
  const outOfOrder = (similarity) => similarity.map((s, i) => i > 0 && s - similarity[i - 1] > -1e-6);

  const numbers = (text, unit) => (text ? text.split(" ").map((x) => Number(x) / unit) : []);
  /** A whole matrix from the numbers above its diagonal. */
  function matrix(above) {
    const found = Array.from({ length: FIRST }, () => Array(FIRST).fill(1));
    let k = 0;
    for (let i = 0; i < FIRST; i++) for (let j = i + 1; j < FIRST; j++) found[i][j] = found[j][i] = above[k++];
    return found;
  }

  // ------------------------------------------------------------------ what is shown now
  function parsed(view) {
    if (!view.memory.lists) {
      view.memory.lists = view.all.lists.rows.map((row) => ({ ...row }));
      view.memory.methods = view.all.lists.unique("method");
      view.memory.sentences = new Map(view.all.texts.rows.map((row) => [row.text, row.sentence]));
    }
    return view.memory;
  }
  /** The numbers of a list, read when it is first shown: there are hundreds of lists. */
  function read(one) {
    if (!one.above) {
      Object.assign(one, { row1: numbers(one.anchor, 1000), above: numbers(one.cosines, 100), said: numbers(one.texts, 1) });
      one.order = order(one.row1.map((c) => 1 - c));
    }
    return one;
  }
  /** For each method: the matrix, how many lists are in it, their mean order, and the sentences of a single list. */
  function now(view) {
    const { lists, methods, sentences } = parsed(view), s = view.state;
    return methods.map((method) => {
      const own = lists.filter((one) => one.method === method), drawn = own.every((one) => one.decoding === own[0].decoding);
      const decoded = own.some((one) => one.lam !== null) ? s.lam : null; // only direction has a λ
      const title = decoded === null ? method : `${method}, λ = ${SC.number(s.show === "ledger" ? view.options.lam : s.lam)}`;
      if (s.show === "ledger") {
        const row = view.all.measured.rows.find((r) => r.method === method && (drawn || r.decoding === s.decoding) && r.which === (s.kept ? "kept" : "as written"));
        return row ? { method, title, count: row.lists, order: row.order, at: matrix(numbers(row.cosines, 1000)) } : { method, title, count: 0 };
      }
      const chosen = own.filter((one) => (drawn || one.decoding === s.decoding) && (decoded === null || one.lam === decoded)
        && (s.show === "one" ? one.list === s.n : one.list <= s.n) && (!s.kept || one.kept)).map(read);
      if (!chosen.length) return { method, title, count: 0 };
      const above = chosen[0].above.map((_, k) => chosen.reduce((sum, one) => sum + one.above[k], 0) / chosen.length);
      const at = matrix(above);
      for (let j = 1; j < FIRST; j++) at[0][j] = at[j][0] = chosen.reduce((sum, one) => sum + one.row1[j - 1], 0) / chosen.length;
      return { method, title, count: chosen.length, at, order: chosen.reduce((sum, one) => sum + one.order, 0) / chosen.length,
        said: s.show === "one" && chosen[0].said.length ? chosen[0].said.map((k) => sentences.get(k)) : null };
    });
  }
  const decimals = (value) => SC.format(value, ".2f");
  const missing = (view) => (view.state.kept ? "no list of these passes verification" : view.state.show === "one" ? "fewer than 16 sentences in this list" : "no list");
  const lists = (count, one) => (one ? "one list" : `${SC.format(count, ",d")} ${count === 1 ? "list" : "lists"}`);

  // ------------------------------------------------------------------ one heatmap with its strip
  function heatmap(view, it, into, width) {
    const low = view.state.faintest, colours = view.colours, one = view.state.show === "one";
    const left = view.narrow ? 4 : 26, cell = Math.floor((width - left - 4) / FIRST), top = view.narrow ? 52 : 40, side = cell * FIRST;
    const strip = top + side + (view.narrow ? 8 : 22), band = Math.max(16, cell), high = strip + band + 24;
    const picture = view.picture(high, { width, name: it.title });
    into.append(picture.parentNode);
    const text = (x, y, said, more = {}) => svg("text", { x, y, ...more, style: { "font-size": "11.5px", ...(more.style || {}) } }, said);
    SC.wrap(it.title, width - 4, 12.5, 700).slice(0, 2).forEach((line, i) => picture.append(text(left, 13 + 15 * i, line, { style: { "font-size": "12.5px", "font-weight": 700 } })));
    picture.append(text(left, top - 6, it.count ? `${lists(it.count, one)}, order ${decimals(it.order)}` : ""));
    if (!it.at) {
      picture.append(svg("rect", { x: left, y: top, width: side, height: side, style: { fill: "none", stroke: colours.grid } }));
      SC.wrap(missing(view), side - 16, 12).forEach((line, i) => picture.append(text(left + side / 2, top + side / 2 + 16 * i, line, { "text-anchor": "middle" })));
      return;
    }
    const marks = [], [x, y] = [(j) => left + j * cell, (i) => top + i * cell], shades = Array(LEVELS + 1).fill("");
    for (let i = 0; i < FIRST; i++) for (let j = 0; j < FIRST; j++) {
      const value = it.at[i][j];
      shades[Math.round(LEVELS * Math.min(1, Math.max(0, (value - low) / (1 - low))))] += `M${x(j)},${y(i)}h${cell}v${cell}h${-cell}z`;
      marks.push({ x: x(j) + cell / 2, y: y(i) + cell / 2, box: [x(j), y(i), cell, cell], group: i, cell: [it.method, i + 1, j + 1],
        get lines() {
          const said = it.said && i !== j ? [[`${i + 1}`, it.said[i]], [`${j + 1}`, it.said[j]]] : [];
          return [[`sentences ${i + 1} and ${j + 1}`, one ? decimals(value) : `mean ${decimals(value)}`],
          one ? `list ${view.state.n}, ${it.title}` : `${lists(it.count)}, ${it.title}`, ...said];
        } });
    }
    // One path a shade, not one rectangle a cell: a drag redraws a thousand cells.
    shades.forEach((d, k) => { if (d) picture.append(svg("path", { d, "shape-rendering": "crispEdges", style: { fill: view.heat(low + (k / LEVELS) * (1 - low), low, 1).fill } })); });
    if (!view.narrow) for (const k of [1, 4, 8, 12, 16]) {
      picture.append(text(left - 5, y(k - 1) + cell / 2 + 4, k, { "text-anchor": "end" }), text(x(k - 1) + cell / 2, top + side + 14, k, { "text-anchor": "middle" }));
    }
    // The strip: whether each sentence is farther from the anchor than the one before it.
    const row = it.at[0].slice(1), late = outOfOrder(row);
    for (let j = 2; j < FIRST; j++) {
      const change = row[j - 1] - row[j - 2], shade = view.heat(change, -0.08, 0.08, { diverging: true }), at = [x(j), strip];
      picture.append(svg("rect", { x: at[0], y: at[1], width: cell, height: band, style: { fill: shade.fill } }));
      if (late[j - 1]) picture.append(text(at[0] + cell / 2, at[1] + band / 2 + 4, "▲", { "text-anchor": "middle", style: { fill: shade.ink, "font-size": `${Math.min(11, cell)}px` } }));
      marks.push({ x: at[0] + cell / 2, y: at[1] + band / 2, box: [at[0], at[1], cell, band], group: FIRST, cell: [it.method, 1, j + 1],
        lines: [[`sentence ${j + 1}: to the anchor`, decimals(row[j - 1])], `sentence ${j} had ${decimals(row[j - 2])}`, late[j - 1] ? "out of order: not less similar" : "in order: less similar"] });
    }
    picture.append(svg("rect", { x: x(2), y: strip, width: cell * (FIRST - 2), height: band, style: { fill: "none", stroke: colours.grid } }));
    const fall = late.slice(1).filter((bad) => !bad).length;
    picture.append(text(left, strip + band + 15, view.narrow ? `${fall} of ${FIRST - 2} steps away` : `${fall} of ${FIRST - 2} steps lead away from the anchor`));
    (view.state.pins || []).forEach(([method, i, j], k) => {
      if (method !== it.method) return;
      picture.append(svg("rect", { class: "sc-pin", x: x(j - 1) - 1, y: y(i - 1) - 1, width: cell + 2, height: cell + 2, style: { fill: "none", stroke: colours.orange, "stroke-width": 2.5 } }));
      const right = j > FIRST - 2;
      picture.append(svg("circle", { cx: x(j - 1) + (right ? -7 : cell + 7), cy: y(i - 1) + cell / 2, r: 7.5, style: { fill: colours.ground, stroke: colours.orange } }),
        text(x(j - 1) + (right ? -7 : cell + 7), y(i - 1) + cell / 2 + 4, "AB"[k], { "text-anchor": "middle", style: { "font-weight": 700 } }));
    });
    view.read(picture, marks, { pick: (mark) => pin(view, mark.cell) });
  }

  function pin(view, cell) {
    const pins = view.state.pins || [], equal = (p) => p.join(" ") === cell.join(" ");
    view.set({ pins: pins.some(equal) ? pins.filter((p) => !equal(p)) : [...pins, cell].slice(-2) });
  }
  const pinned = (view, found) => (view.state.pins || []).map(([method, i, j]) => {
    const it = found.find((f) => f.method === method) || {};
    return { it, i, j, value: it.at ? it.at[i - 1][j - 1] : null };
  });

  function compare(view, found) {
    const pins = pinned(view, found), small = { margin: "0.2rem 0", "font-size": "0.88rem" };
    const box = html("div", { class: "sc-pins", style: { "min-height": "3.2rem" } });
    if (!pins.length) box.append(html("p", { style: small }, "Press a cell to pin it, and a second one to compare the two."));
    pins.forEach((p, k) => box.append(html("p", { style: small }, html("b", {}, "AB"[k]), ` ${p.it.title || ""}, sentences ${p.i} and ${p.j}: `, html("b", {}, decimals(p.value)),
      p.it.said ? html("span", { style: { color: "var(--sc-muted)" } }, ` ${p.it.said[p.i - 1]} | ${p.it.said[p.j - 1]}`) : "")));
    if (pins.length === 2 && pins.every((p) => p.value !== null)) box.append(html("p", { style: small }, "A − B: ", html("b", {}, SC.format(pins[0].value - pins[1].value, "+.2f"))));
    if (pins.length) box.append(html("button", { type: "button", key: "unpin", style: { "min-height": "28px" }, on: { click: () => view.set({ pins: [] }) } }, "Unpin"));
    return box;
  }

  function scale(view) {
    const low = view.state.faintest, width = Math.min(view.width, 360), steps = 40;
    const picture = svg("svg", { width, height: 30, "aria-hidden": "true" });
    for (let k = 0; k < steps; k++) picture.append(svg("rect", { x: (k * width) / steps, y: 0, width: width / steps + 0.5, height: 10, style: { fill: view.heat(low + ((k + 0.5) / steps) * (1 - low), low, 1).fill } }));
    const label = (x, anchor, said) => svg("text", { x, y: 24, "text-anchor": anchor, style: { "font-size": "11.5px" } }, said);
    picture.append(label(0, "start", `${decimals(low)} or less`), label(width / 2, "middle", "cosine"), label(width, "end", "1"));
    return html("div", { class: "sc-scale", style: { margin: "0.3rem 0" } }, picture);
  }

  // ------------------------------------------------------------------ the figure
  function draw(view) {
    if (!view.all.lists.length) throw new Error("it has no lists");
    // Whoever drags n or λ wants to see it act: what was measured has one λ, and all its lists.
    const { show, n, lam } = view.state, before = view.memory.before;
    if (before && show === "ledger" && before.show === "ledger" && (n !== before.n || lam !== before.lam)) view.set({ show: "mean" });
    view.memory.before = { show: view.state.show, n, lam };
    const found = now(view), gap = view.narrow ? 6 : 18, width = Math.floor((view.width - gap) / 2);
    const box = html("div", { style: { display: "grid", "grid-template-columns": `${width}px ${width}px`, gap: `4px ${gap}px` } });
    view.root.append(box);
    for (const it of found) heatmap(view, it, box, Math.min(width, 340));
    view.root.append(scale(view), compare(view, found));
    if (view.state.show === "ledger") view.root.append(html("p", { style: { "font-size": "0.82rem", margin: "0.1rem 0", color: "var(--sc-muted)" } }, `From ${view.options.source}: ${view.options.number}, λ = ${SC.number(view.options.lam)}. With n or λ you turn to the lists of this page.`));
    else if (view.state.show === "one" && !found.some((it) => it.said)) view.root.append(html("p", { style: { "font-size": "0.82rem", margin: "0.1rem 0", color: "var(--sc-muted)" } }, "The sentences come with the first lists only."));
  }

  function describe(view) {
    const found = now(view), s = view.state;
    const what = s.show === "one" ? `List ${s.n}` : s.show === "ledger" ? `Means from ${view.options.source}` : `Means of the lists of the first ${s.n} anchors`;
    const parts = found.map((it) => (it.at ? `${it.title}: ${lists(it.count, s.show === "one")}, order ${decimals(it.order)}, sentences 1 and 2 ${decimals(it.at[0][1])}, 1 and 16 ${decimals(it.at[0][FIRST - 1])}` : `${it.title}: ${missing(view)}`));
    const pins = pinned(view, found).map((p, k) => `Pinned ${"AB"[k]}: ${p.it.title}, sentences ${p.i} and ${p.j}, ${decimals(p.value)}`);
    return `${what}, decoded ${s.decoding === "greedy" ? "greedily" : "by sampling"}${s.kept ? ", only those that pass verification" : ""}. ${[...parts, ...pins].join(". ")}.`;
  }

  SC.explorers.heatmaps = { state: { pins: [] }, draw, describe, logic: { order, outOfOrder, matrix, ranks, now } };
})();
