/* The ranking paper's Fig. 2: lists as paths in a plane of the embedding space, step by step.

   Tables: paths (anchor, decoding, method, lam, place, x, y, cosine, sentence), anchors (anchor, share,
   sentence), ways (anchor, decoding, method, lam, straightness): see experiments.ch10.py.
   Controls: anchor, decoding, lam, place, play, zoom. The method without a λ is the baseline.               */
"use strict";

(() => {
  const { svg, html } = SC;
  const decimals = (value) => SC.format(value, ".2f");

  /** Distance of the last point from the first, and the length of the way between: of [x, y] points. */
  function wayOf(points) {
    let way = 0;
    for (let i = 1; i < points.length; i++) way += Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]);
    const [first, last] = [points[0], points.at(-1)];
    return { way, net: points.length ? Math.hypot(last[0] - first[0], last[1] - first[1]) : 0 };
  }

  // ------------------------------------------------------------------ what is shown now
  function now(view) {
    const s = view.state, paths = view.all.paths.rows.filter((r) => r.anchor === s.anchor && r.decoding === s.decoding);
    const way = (method, lam) => view.all.ways.rows.find((r) => r.anchor === s.anchor && r.decoding === s.decoding && r.method === method && r.lam === lam) || {};
    return view.all.paths.unique("method").map((method) => {
      const own = paths.filter((r) => r.method === method), led = own.some((r) => r.lam !== null), lam = led ? s.lam : null;
      const steps = own.filter((r) => r.lam === lam).sort((p, q) => p.place - q.place);
      const sofar = steps.filter((r) => r.place <= s.place);
      return { method, led, steps, sofar, title: led ? `${method}, λ = ${SC.number(s.lam)}` : method, here: sofar.at(-1),
        ...wayOf(sofar.map((r) => [r.x, r.y])), straight: way(method, lam).straightness ?? null,
        token: led ? "orange" : "blue", marker: led ? "s" : "o", dashes: led ? [6, 4] : [] };
    }).filter((p) => p.steps.length);
  }
  /** One scale for all λ, so that a change is a change of the path; `zoom` fits it to these two. */
  function bounds(view, found) {
    const { anchor, decoding, zoom } = view.state;
    const rows = zoom ? found.flatMap((p) => p.steps) : view.all.paths.rows.filter((r) => r.anchor === anchor && r.decoding === decoding);
    return { x: SC.extent(rows.map((r) => r.x), 0.06), y: SC.extent(rows.map((r) => r.y), 0.06), cosine: SC.extent(rows.map((r) => r.cosine), 0.05) };
  }
  const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  const STAR = Array.from({ length: 10 }, (_, i) => { const r = i % 2 ? 4 : 9.5, t = (i * Math.PI) / 5; return [r * Math.sin(t), -r * Math.cos(t)]; });

  // ------------------------------------------------------------------ the two linked pictures
  function plot(view, found, into, { width, height, name, frame, at, from }) {
    const picture = view.picture(height, { width, name });
    into.append(picture.parentNode);
    const axes = view.frame(picture, { left: 0, top: 0, width, height }, frame), marks = [];
    for (const p of found) {
      const place = (r) => { const [x, y] = at(r); return [axes.x(x), axes.y(y)]; };
      const style = (opacity) => ({ fill: "none", stroke: view.colours[p.token], "stroke-width": 2, "stroke-opacity": opacity });
      const dashes = p.dashes.join(" ") || null;
      axes.g.append(svg("path", { d: line(p.steps.map(place)), "stroke-dasharray": dashes, style: style(0.18) }));
      axes.g.append(svg("path", { class: "sc-path", "data-path": p.led ? "led" : "prompted", d: line(p.sofar.map(place)), "stroke-dasharray": dashes, style: style(1) }));
    }
    for (const p of found) for (const r of p.steps) {
      const [x, y] = [axes.x(at(r)[0]), axes.y(at(r)[1])], reached = r.place <= view.state.place, here = r.place === view.state.place;
      if (r.place > 1 && reached) axes.g.append(svg("path", { d: SC.marker(p.marker, here ? 7.5 : 5), transform: `translate(${x},${y})`,
        style: { fill: view.heat(r.cosine, from, 1).fill, stroke: view.colours[here ? "ink" : p.token], "stroke-width": here ? 2.2 : 1.2 } }));
      marks.push({ x, y, r: 6, group: p.title, place: r.place, lines: [[p.title, `sentence ${r.place}`], ["cosine to the anchor", decimals(r.cosine)], r.sentence] });
    }
    const first = found[0].steps[0], [x, y] = [axes.x(at(first)[0]), axes.y(at(first)[1])];
    axes.g.append(svg("path", { d: line(STAR) + "z", transform: `translate(${x},${y})`, style: { fill: view.colours.ink, stroke: view.colours.ground } }));
    view.read(picture, marks, { pick: (mark) => view.set({ place: mark.place, play: false }), reach: 36 });
    return { axes, picture, marks };
  }
  /** Ringing in one picture what the pointer reads in the other. */
  function link(view, one, other) {
    const ring = svg("circle", { class: "sc-linked", r: 10, style: { fill: "none", stroke: view.colours.ink, "stroke-width": 2, "pointer-events": "none", display: "none" } });
    other.axes.g.append(ring);
    const plot = one.picture.parentNode, off = () => { ring.style.display = "none"; };
    plot.addEventListener("pointerleave", off);
    plot.addEventListener("pointermove", (event) => {
      const box = one.picture.getBoundingClientRect(), k = view.scale(), far = (m) => Math.hypot(m.x - (event.clientX - box.left) / k, m.y - (event.clientY - box.top) / k);
      const near = one.marks.reduce((m, n) => (far(n) < far(m) ? n : m));
      const twin = far(near) <= 36 && other.marks.find((m) => m.group === near.group && m.place === near.place);
      if (!twin) { off(); return; }
      ring.setAttribute("cx", twin.x); ring.setAttribute("cy", twin.y); ring.style.display = "";
    });
  }

  function sentences(view, found) {
    const box = html("div", { style: { display: "grid", "grid-template-columns": view.narrow ? "1fr" : "1fr 1fr", gap: "0.2rem 1.2rem", "font-size": "0.88rem", "margin-top": "0.3rem" } });
    for (const p of found) {
      const before = p.sofar.at(-2);
      const turn = !before ? "the anchor" : p.here.sentence === before.sentence ? "the sentence before again" : p.here.cosine >= before.cosine - 1e-6 ? "▲ not farther than the one before" : "farther than the one before";
      box.append(html("div", { style: { "border-left": `4px ${p.led ? "dashed" : "solid"} ${view.colours[p.token]}`, "padding-left": "0.6rem" } },
        html("p", { style: { margin: 0 } }, html("b", {}, p.title), `, sentence ${p.here.place} `, html("span", { style: { color: "var(--sc-muted)" } }, `[${decimals(p.here.cosine)}] ${turn}`)),
        html("p", { class: "sc-said", style: { margin: "0.1rem 0", "min-height": "2.6em" } }, p.here.sentence),
        html("p", { style: { margin: 0, color: "var(--sc-muted)" } }, `${decimals(p.net)} from the anchor after a way of ${decimals(p.way)} in the plane; straightness in the whole space ${p.straight === null ? "not measured: fewer than 8 moves" : decimals(p.straight)}`)));
    }
    return box;
  }

  // ------------------------------------------------------------------ the figure
  function draw(view) {
    const found = now(view), hidden = new Set(view.state.hidden || []);
    if (!found.length) throw new Error("it has no paths for this choice");
    const shown = found.filter((p) => !hidden.has(p.method)), last = Math.max(...view.all.paths.col("place")), reach = bounds(view, found);
    const about = view.all.anchors.rows.find((r) => r.anchor === view.state.anchor) || {};
    view.legend(found.map((p) => ({ value: p.method, label: p.title, token: p.token, marker: p.marker, dashes: p.dashes })));
    if (!shown.length) { view.root.append(html("p", {}, "Both paths are switched off.")); return; }
    const box = html("div", { style: { display: "flex", "flex-wrap": "wrap", gap: "0.3rem 1rem" } });
    view.root.append(box);
    const wide = view.narrow ? view.width : Math.round((view.width - 16) * 0.55), from = Math.max(reach.cosine[0], -1);
    const plane = plot(view, shown, box, { width: wide, height: Math.min(wide, 380), name: "Paths in the plane", at: (r) => [r.x, r.y], from,
      frame: { x: { domain: reach.x, label: "first direction" }, y: { domain: reach.y, label: "second direction" }, equal: true } });
    const narrow = view.narrow ? view.width : view.width - 16 - wide;
    const curve = plot(view, shown, box, { width: narrow, height: view.narrow ? 230 : Math.min(wide, 380), name: "Similarity to the anchor along the list", at: (r) => [r.place, r.cosine], from,
      frame: { x: { domain: [0.5, last + 0.5], label: "sentence", ticks: [1, 4, 8, 12, 16].filter((t) => t <= last) }, y: { domain: reach.cosine, label: "cosine to the anchor" } } });
    link(view, plane, curve);
    link(view, curve, plane);
    const { axes } = curve, x = axes.x(view.state.place);
    axes.back.append(svg("line", { class: "sc-now", x1: x, x2: x, y1: axes.top, y2: axes.bottom, style: { stroke: view.colours.ink, "stroke-width": 1.2, "stroke-dasharray": "2 3" } }));
    view.root.append(sentences(view, shown), html("p", { style: { "font-size": "0.82rem", color: "var(--sc-muted)", margin: "0.3rem 0 0" } },
      `★ the anchor. Fill: the stronger, the more similar to it. ${about.share === undefined ? "" : `The plane holds ${SC.format(about.share, ".0f")} % of the variance of this anchor's lists.`} Press a point to go there.`));
  }

  function describe(view) {
    const s = view.state, found = now(view), about = view.all.anchors.rows.find((r) => r.anchor === s.anchor) || {};
    return `Lists from “${about.sentence ?? s.anchor}”, ${s.decoding}, at sentence ${s.place}. ` + found.map((p) =>
      `${p.title}: cosine to the anchor ${decimals(p.here.cosine)}, ${decimals(p.net)} from it in the plane after a way of ${decimals(p.way)}; “${p.here.sentence}”`).join(". ") + ".";
  }

  SC.explorers.trajectories = { draw, describe, logic: { wayOf } };
})();
