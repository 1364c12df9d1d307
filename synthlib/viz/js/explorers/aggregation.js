/* Three marks for one prediction: an STS task in parts, as clouds that the reader shifts or leaves
   out, and its Spearman correlation by `all`, `mean` and `wmean`.

   Table: "pairs" (part, gold, cosine; further columns for controls). State: hidden (parts that are
   left out), shift ({part: cosine added}). The marks mirror synthlib/evaluation/sts.py. */
"use strict";

(() => {
  /** Ranks from 1; equal values share the mean of their ranks. */
  function ranks(values) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]), out = [];
    for (let i = 0, j; i < order.length; i = j) {
      for (j = i + 1; j < order.length && values[order[j]] === values[order[i]]; j++);
      for (let k = i; k < j; k++) out[order[k]] = (i + 1 + j) / 2;
    }
    return out;
  }

  /** Spearman's correlation; NaN where one side is all equal. */
  function spearman(x, y) {
    if (x.length < 2) return NaN;
    const [a, b] = [ranks(x), ranks(y)], middle = (x.length + 1) / 2;
    let ab = 0, aa = 0, bb = 0;
    a.forEach((u, i) => { const [p, q] = [u - middle, b[i] - middle]; ab += p * q; aa += p * p; bb += q * q; });
    return aa && bb ? ab / Math.sqrt(aa * bb) : NaN;
  }

  /** The three marks in percent. parts: [{gold, cosine}, …]. */
  function marks(parts) {
    const each = parts.map((p) => 100 * spearman(p.cosine, p.gold)), size = parts.map((p) => p.gold.length);
    const total = size.reduce((a, b) => a + b, 0);
    return {
      each, all: 100 * spearman(parts.flatMap((p) => p.cosine), parts.flatMap((p) => p.gold)),
      mean: each.reduce((a, b) => a + b, 0) / each.length,
      wmean: each.reduce((a, v, i) => a + v * size[i], 0) / total,
    };
  }

  const REACH = 0.5, NAMES = ["all", "mean", "wmean"];
  const one = (v) => SC.format(v, ".1f"), signed = (v) => SC.format(v, "+.2f");
  const names = (view) => view.all.pairs.unique("part");

  /** Parts with their pairs, shifted or as they are. */
  function parts(view, shifted = true) {
    const chosen = view.controls.filter((c) => c.column).map((c) => view.state[c.name]).join(), memory = view.memory;
    if (memory.chosen !== chosen) {
      const { rows } = view.table("pairs"), bad = rows.filter((r) => !Number.isFinite(r.gold) || !Number.isFinite(r.cosine)).length;
      if (!rows.length || bad) throw new Error(rows.length ? `${bad} of ${rows.length} pairs lack a score or a cosine` : "the table of pairs is empty");
      // A cloud is cut out and drawn once, and moved as a whole.
      const table = view.table("pairs");
      Object.assign(memory, { chosen, clouds: new Map(), raw: names(view).map((name) => {
        const own = table.where("part", name);
        return { name, gold: own.col("gold"), raw: own.col("cosine") };
      }) });
    }
    return memory.raw.map((p) => {
      const move = shifted ? view.state.shift[p.name] || 0 : 0;
      return { ...p, move, cosine: move ? p.raw.map((c) => c + move) : p.raw };
    });
  }

  /** The dots of a part where its cosines are; kept from one redraw to the next. */
  function cloud(view, part, style, f) {
    const { clouds } = view.memory, key = [part.name, f.left, f.right, f.top, f.bottom].join();
    if (!clouds.has(key)) {
      const d = SC.marker(style.marker, 3.2);
      clouds.set(key, view.svg("g", { class: "sc-cloud", "data-part": SC.text(part.name), "fill-opacity": 0.55, style: { fill: style.colour } },
        part.gold.map((gold, i) => view.svg("path", { d, transform: `translate(${f.x(gold).toFixed(1)},${f.y(part.raw[i]).toFixed(1)})` }))));
    }
    const g = clouds.get(key);
    g.setAttribute("transform", `translate(0,${(f.y(part.move) - f.y(0)).toFixed(1)})`);
    return g;
  }

  function shift(view, name, to) {
    const value = Number(Math.min(Math.max(to, -REACH), REACH).toFixed(2));
    view.set({ shift: { ...view.state.shift, [name]: value } });
  }

  function draw(view) {
    const { html, svg } = view, every = parts(view), styles = view.series(view.all.pairs, "part", view.options);
    const hidden = view.legend(every.map((p) => ({ value: p.name, label: p.name, ...styles.get(p.name), kind: "dot" })), { title: "Parts:" });
    const kept = every.filter((p) => !hidden.has(p.name));
    if (!kept.length) { view.root.append(html("p", { role: "note" }, "All parts are left out: there is nothing to correlate.")); return; }
    const now = marks(kept), start = marks(parts(view, false));
    const [low, high] = SC.extent(view.all.pairs.col("cosine")), tall = view.narrow ? 300 : 340;
    const wide = view.narrow ? view.width : Math.round(view.width * 0.62), under = view.narrow ? 130 : 0;
    const picture = view.picture(tall + under, { name: "Pairs by score and cosine" });
    const f = view.frame(picture, { left: 0, top: 0, width: wide, height: tall },
      { x: { domain: SC.extent(view.all.pairs.col("gold"), 0.04), label: view.options.xlabel || "gold score" }, y: { domain: [low - REACH, high + REACH], label: view.options.ylabel || "cosine" }, right: 34 });
    const dots = kept.flatMap((p) => {
      f.g.append(cloud(view, p, styles.get(p.name), f));
      return p.gold.map((gold, i) => ({ x: f.x(gold), y: f.y(p.cosine[i]), group: p.name,
        lines: [p.name, ["score", gold], ["cosine", SC.format(p.raw[i], ".2f") + (p.move ? `, moved by ${signed(p.move)}` : "")]] }));
    });
    view.read(picture, dots, { reach: 16 });
    // A handle beside each cloud, at its mean; handles that would lie on each other step aside.
    const taken = [];
    for (const p of kept) {
      const style = styles.get(p.name), mean = p.cosine.reduce((a, b) => a + b, 0) / p.cosine.length;
      let y = f.y(mean);
      while (taken.some((t) => Math.abs(t - y) < 25)) y += 5;
      taken.push(y);
      const x = f.right + 16, handle = svg("g", { class: "sc-handle", style: { cursor: "ns-resize", "touch-action": "none" } },
        svg("circle", { cx: x, cy: y, r: 13, style: { fill: view.colours.ground, stroke: style.colour }, "stroke-width": 2 }),
        svg("path", { d: `M${x},${y - 9}l4,5h-8zM${x},${y + 9}l4,-5h-8z`, style: { fill: style.colour } }));
      picture.append(handle);
      let from = 0, before = 0;
      view.drag(handle, {
        label: `Move the cloud: ${p.name}`, name: p.name, value: `moved by ${signed(p.move)}`,
        start: (_, py) => { from = py; before = view.state.shift[p.name] || 0; },
        move: (_, py) => shift(view, p.name, before + (f.y.invert(py) - f.y.invert(from))),
        key: (_, dy) => shift(view, p.name, (view.state.shift[p.name] || 0) + dy * 0.05),
      });
      handle.setAttribute("aria-valuemin", -REACH);
      handle.setAttribute("aria-valuemax", REACH);
      handle.setAttribute("aria-valuenow", p.move);
      handle.setAttribute("aria-orientation", "vertical");
    }
    // The three marks, each with a line where it stood at the start.
    const box = view.narrow ? { left: 0, top: tall, width: view.width, height: under } : { left: wide + 6, top: 10, width: view.width - wide - 6, height: 190 };
    const b = view.frame(picture, box, { x: { domain: [Math.min(0, ...NAMES.map((k) => Math.min(now[k] || 0, start[k] || 0))) * 1.3, 100], label: "Spearman (%)" }, y: { names: NAMES }, right: 14 });
    NAMES.forEach((key, i) => {
      const y = b.y(i), size = Math.min(b.y.step * 0.6, 26), value = now[key], zero = b.x(0);
      if (Number.isFinite(value)) b.g.append(svg("rect", { class: `sc-bar-${key}`, x: Math.min(zero, b.x(value)), y: y - size / 2, width: Math.abs(b.x(value) - zero), height: size, style: { fill: view.colours.blue } }));
      b.g.append(svg("text", { x: Math.max(zero, b.x(value || 0), b.x(start[key] || 0)) + 6, y: y + 4, "font-weight": 700 }, Number.isFinite(value) ? one(value) : "undefined"),
        Number.isFinite(start[key]) && svg("line", { x1: b.x(start[key]), x2: b.x(start[key]), y1: y - size / 2 - 3, y2: y + size / 2 + 3, "stroke-width": 2, style: { stroke: view.colours.ink } }) || "");
    });
    const set = (text, f) => html("button", { type: "button", key: text, style: { margin: "0 8px 4px 0" }, on: { click: f } }, text);
    view.root.append(html("p", { style: { margin: "4px 0" } },
      set("Lay the clouds on one level", () => view.set({ shift: levelled(view) })), set("Put all back", () => view.set({ shift: {}, hidden: [] }))));
    const part = (text) => html("th", { scope: "row", style: { "border-bottom": `1px solid ${view.colours.grid}`, color: "inherit", "font-size": "inherit" } }, text);
    view.root.append(html("table", { style: { "font-variant-numeric": "tabular-nums" } },
      html("thead", {}, html("tr", {}, ["part", "pairs", "Spearman inside", "moved by"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, kept.map((p, i) => html("tr", {}, part(SC.text(p.name)), [p.gold.length, one(now.each[i]), signed(p.move)].map((text) => html("td", {}, text)))))));
  }

  /** Shifts that give all parts the mean cosine of the whole. */
  function levelled(view) {
    const raw = parts(view, false), all = raw.flatMap((p) => p.raw), mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
    return Object.fromEntries(raw.map((p) => [p.name, Number(Math.min(Math.max(mean(all) - mean(p.raw), -REACH), REACH).toFixed(3))]));
  }

  function describe(view) {
    const every = parts(view), kept = every.filter((p) => !(view.state.hidden || []).includes(p.name));
    if (!kept.length) return "All parts are left out.";
    const now = marks(kept), left = every.length - kept.length, moved = kept.filter((p) => p.move);
    return `${kept.length} parts${left ? `, ${left} left out` : ""}${moved.length ? "; moved: " + moved.map((p) => `${SC.text(p.name)} by ${signed(p.move)}`).join(", ") : ""}. ` +
      `Spearman: ${NAMES.map((k) => `${k} ${one(now[k])}`).join(", ")}. Inside the parts: ${kept.map((p, i) => `${SC.text(p.name)} ${one(now.each[i])}`).join(", ")}.`;
  }

  SC.explorers.aggregation = { state: () => ({ shift: {}, hidden: [] }), draw, describe, marks, spearman };
})();
