/* Refined similarity (ranking sentences § 3.2, Eqs. 6 to 8): drag a sentence of a list out of its
   order, and see what the rule makes of the teacher's similarities.

   Tables: "sentences" (item, sentence), "similarities" (item, other, similarity): a whole matrix.
   State: order (the items as they stand), controls omega, variant, row (1 = seen from the first).
   options.tau is the temperature of the scores. The rule mirrors synthlib/losses.py; a test
   compares the two on random lists. */
"use strict";

(() => {
  /** Places of values in descending order; equal values keep theirs. */
  const descending = (values) => values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);

  /** losses.refine_similarity for one matrix. */
  function refine(phi, omega, variant = "paper") {
    const n = phi.length, refined = phi.map((row) => row.slice());
    for (let i = 0; i < n; i++) {
      const row = phi[i].slice(i), order = descending(row), place = [];
      order.forEach((k, rank) => { place[k] = rank; });
      row.forEach((value, k) => {
        let way = row[order[k]] - value; // to the value that belongs in place k
        if (variant === "printed") way = value - phi[i][Math.min(i + place[k], n - 1)];
        const up = variant === "released" ? (place[k] < i + k ? -1 : 1) : Math.sign(way);
        refined[i][i + k] = refined[i + k][i] = value + up * Math.log1p(omega * Math.abs(way));
      });
    }
    return refined;
  }

  /** losses.list_mle for one row of scores and of targets. */
  function listMle(scores, targets) {
    let below = -Infinity, loss = 0;
    for (const k of descending(targets).reverse()) {
      const high = Math.max(below, scores[k]);
      below = high + Math.log(Math.exp(below - high) + Math.exp(scores[k] - high));
      loss += below - scores[k];
    }
    return loss;
  }

  /** Share of pairs j < k of the rows' later sentences in which the later one is the nearer. */
  function misorder(phi) {
    let wrong = 0, pairs = 0;
    phi.forEach((row, i) => {
      for (let j = i + 1; j < phi.length; j++)
        for (let k = j + 1; k < phi.length; k++) { wrong += row[j] < row[k]; pairs++; }
    });
    return pairs ? wrong / pairs : NaN;
  }

  const numbers = (n) => Array.from({ length: n }, (_, i) => i);
  /** The sentences as they stand; what is no permutation (Python writes the state, too) is the list's own order. */
  function orderOf(view) {
    const own = numbers(view.table("sentences").length), given = view.state.order;
    return Array.isArray(given) && String([...given].sort((a, b) => a - b)) === String(own) ? given : own;
  }

  /** All that the figure shows, from its state. */
  function values(view) {
    const items = view.table("sentences").rows, table = view.table("similarities").rows;
    const at = new Map(items.map((r, i) => [r.item, i])), phi0 = items.map(() => []);
    for (const r of table) if (at.has(r.item) && at.has(r.other)) phi0[at.get(r.item)][at.get(r.other)] = r.similarity;
    if (items.length < 2) throw new Error(`a list has two sentences or more, given ${items.length}`);
    if (!phi0.every((row) => items.every((_, j) => Number.isFinite(row[j])))) throw new Error(`similarities of all ${items.length} × ${items.length} pairs are wanted, as finite numbers`);
    const order = orderOf(view), phi = order.map((i) => order.map((j) => phi0[i][j]));
    const row = Math.min(Math.max(view.state.row, 1), order.length) - 1, tau = view.options.tau || 0.05;
    const refined = refine(phi, view.state.omega, view.state.variant);
    const suffix = phi[row].slice(row), sorted = suffix.slice().sort((a, b) => b - a), rank = [];
    descending(suffix).forEach((k, r) => { rank[k] = r + 1; });
    const loss = (targets) => phi.map((r, i) => listMle(r.map((v) => v / tau), targets[i]));
    const [before, after] = [loss(phi), loss(refined)];
    const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
    return {
      items, phi0, phi, refined, row, suffix, sorted, rank,
      losses: { row: [before[row], after[row]], list: [mean(before), mean(after)] },
      misorder: [misorder(phi), misorder(refined)],
    };
  }

  const two = (v) => SC.format(v, ".2f");
  const percent = (v) => SC.format(v, ".1%").replace("%", " %");
  const READ = { paper: "Eqs. 6 and 7", printed: "Algorithm 1 as printed", released: "the released code" };

  function moved(order, item, to) {
    const rest = order.filter((i) => i !== item);
    rest.splice(Math.min(Math.max(to, 0), rest.length), 0, item);
    return rest;
  }

  function draw(view) {
    const { html, svg } = view, v = values(view), order = orderOf(view), n = order.length;
    const reach = Math.max(...v.phi0.flat()) - Math.min(...v.phi0.flat());
    const room = view.state.variant === "paper" ? 0.05 : Math.log1p(view.state.omega * reach) + 0.05;
    const [low, high] = SC.extent(v.phi0.flat());
    const wide = view.narrow ? view.width - 72 : Math.min(280, view.width * 0.4);
    const x = SC.scale([low - room, high + room], [8, wide - 8]), ticks = x.ticks(view.narrow ? 4 : 5);
    const columns = view.narrow ? "44px 1fr" : `44px 1fr 5.5rem ${wide}px`;
    const cell = (style, ...children) => html("div", { style }, ...children);
    const axis = svg("svg", { width: wide, height: 20, "aria-hidden": "true", style: { display: "block" } },
      ticks.map((t) => svg("text", { x: x(t), y: 14, "text-anchor": "middle", "font-size": 11.5, style: { fill: view.colours.muted } }, SC.number(t))));
    const list = html("ol", { class: "sc-items", "aria-label": "The list, in its order", style: { margin: "0", padding: "0", "list-style": "none" } });
    const rows = order.map((item, place) => {
      const k = place - v.row, sentence = v.items[item].sentence;
      const value = k >= 0 ? v.suffix[k] : null, target = k >= 0 ? v.refined[v.row][place] : null;
      const said = k > 0 ? `the list's rank ${k + 1}, the teacher's ${v.rank[k]}; similarity ${two(value)}, refined ${two(target)}` : k ? "stands before the row" : "the row begins here";
      const grip = view.drag(html("div", { style: { width: "36px", "min-height": "30px", display: "grid", "place-items": "center", cursor: "grab", "touch-action": "none", "border-radius": "4px", color: view.colours.muted } }, "⠿"), {
        label: `Move: ${sentence}`, name: `item-${item}`, value: `place ${place + 1} of ${n}; ${said}`,
        move: (_, y) => {
          const top = view.root.getBoundingClientRect().top, scale = view.scale(), now = orderOf(view).indexOf(item);
          const middle = view.memory.rows.map((r) => { const b = r.getBoundingClientRect(); return ((b.top + b.bottom) / 2 - top) / scale; });
          let to = now;
          while (to > 0 && y < middle[to - 1]) to--;
          while (to < n - 1 && y > middle[to + 1]) to++;
          view.set({ order: moved(orderOf(view), item, to) });
        },
        key: (_, dy) => view.set({ order: moved(orderOf(view), item, orderOf(view).indexOf(item) - dy) }),
      });
      grip.setAttribute("aria-valuenow", place + 1);
      grip.setAttribute("aria-valuemin", 1);
      grip.setAttribute("aria-valuemax", n);
      const picture = svg("svg", { width: wide, height: 26, "aria-hidden": "true", style: { display: "block" } },
        ticks.map((t) => svg("line", { x1: x(t), x2: x(t), y1: 0, y2: 26, class: "sc-grid" })));
      if (k >= 0) {
        const belongs = v.sorted[k];
        picture.append(
          svg("line", { x1: x(value), x2: x(target), y1: 13, y2: 13, "stroke-width": 2.5, style: { stroke: view.colours.blue } }),
          svg("line", { x1: x(belongs), x2: x(belongs), y1: 4, y2: 22, "stroke-width": 3, style: { stroke: view.colours.green } }));
        view.mark(picture, "grey", "o", x(value), 13, 4.5);
        view.mark(picture, "blue", "D", x(target), 13, 4.5);
      }
      const ranks = k >= 0 && cell({ "font-variant-numeric": "tabular-nums", color: k && v.rank[k] !== k + 1 ? view.colours.ink : view.colours.muted, "white-space": "nowrap" },
        view.narrow ? `list ${k + 1}, teacher ${v.rank[k]}: ` : `${k + 1} · ${v.rank[k]}`, view.narrow && `${two(value)} → ${two(target)}`);
      const words = cell({ "line-height": "1.3", color: k < 0 ? view.colours.muted : view.colours.ink, "font-weight": k ? "400" : "600" }, `${place + 1}. ${SC.text(sentence)}`);
      const body = view.narrow ? cell({}, words, ranks, k >= 0 && picture) : [words, ranks || cell({}), picture];
      return html("li", { "data-item": item, style: { display: "grid", "grid-template-columns": columns, gap: "0 4px", "align-items": "center", padding: "2px 0", "border-top": `1px solid ${view.colours.grid}` } }, grip, body);
    });
    view.memory.rows = rows;
    list.append(...rows);
    const swatch = (marker, token, text) => html("span", { style: { display: "inline-flex", "align-items": "center", gap: "5px" } },
      svg("svg", { width: 14, height: 14, "aria-hidden": "true" },
        marker === "|" ? svg("line", { x1: 7, x2: 7, y1: 1, y2: 13, "stroke-width": 3, style: { stroke: view.colours[token] } })
          : svg("path", { d: SC.marker(marker, 4.5), transform: "translate(7,7)", style: { fill: view.colours[token] } })), text);
    view.root.append(
      html("div", { style: { display: "flex", "flex-wrap": "wrap", "align-items": "center", gap: "4px 18px", margin: "0 0 6px" } }, swatch("o", "grey", "the teacher's similarity"), swatch("|", "green", "the value that belongs here"), swatch("D", "blue", "refined"),
        html("button", { type: "button", key: "again", disabled: order.every((i, p) => i === p), on: { click: () => view.set({ order: numbers(n) }) } }, "Put the list back")),
      !view.narrow && html("div", { style: { display: "grid", "grid-template-columns": columns, gap: "0 4px", color: view.colours.muted } },
        cell({}), cell({}, "place and sentence"), cell({ "white-space": "nowrap" }, "rank: list · teacher"), axis) || "",
      list);
    const figures = [
      ["pairs out of order, whole list", percent(v.misorder[0]), percent(v.misorder[1])],
      [`ListMLE of row ${v.row + 1}`, two(v.losses.row[0]), two(v.losses.row[1])],
      ["ListMLE, mean over the rows", two(v.losses.list[0]), two(v.losses.list[1])],
    ];
    const name = (text) => html("th", { scope: "row", style: { "border-bottom": `1px solid ${view.colours.grid}`, color: "inherit", "font-size": "inherit", "white-space": "normal" } }, text);
    view.root.append(html("table", { style: { "margin-top": "10px", "font-variant-numeric": "tabular-nums" } },
      html("thead", {}, html("tr", {}, ["targets", "the teacher's", "refined"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, figures.map(([what, a, b]) => html("tr", {}, name(what), html("td", {}, a), html("td", {}, b))))));
  }

  function describe(view) {
    const v = values(view), s = view.state, order = orderOf(view), n = order.length, out = order.filter((i, p) => i !== p).length;
    const way = v.suffix.map((value, k) => Math.sign(Number((v.refined[v.row][v.row + k] - value).toFixed(9))));
    const count = (sign) => way.filter((w) => w === sign).length;
    return `${n} sentences, ${out ? `${out} of them away from their place` : "in the list's own order"}. By ${READ[s.variant]} with ω ${two(s.omega)}, seen from sentence ${v.row + 1}: ` +
      `${count(1)} similarities rise, ${count(-1)} fall, ${count(0)} stay. Pairs out of order: ${percent(v.misorder[0])} for the teacher, ${percent(v.misorder[1])} refined. ` +
      `ListMLE of that row: ${two(v.losses.row[0])} under the teacher's order, ${two(v.losses.row[1])} under the refined one.`;
  }

  SC.explorers.refined = {
    state: (view) => ({ order: numbers(view.table("sentences").length) }),
    draw, describe, refine, listMle, misorder,
  };
})();
