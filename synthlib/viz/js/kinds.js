/* The kinds of figures of spec.py, drawn from the same description and tables as the static picture
   (synthlib/viz/draw.py), with values to read and series to switch. The contract is in core.js. */
(() => {
  const { svg } = SC;
  const SPREADS = ["range", "sd", "se"];
  const FILLED = ["bars", "histogram", "density"];
  const HATCHES = ["", "/", ".", "\\", "x", "-", "+"];
  const safe = (value, limit = 60) => SC.text(typeof value === "string" ? SC.say(value) : value, limit); // in the figure's words before it is cut
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const finite = (values) => values.filter((v) => Number.isFinite(v));
  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  const groupBy = (rows, key) => {
    const out = new Map();
    for (const row of rows) { const k = key(row); if (!out.has(k)) out.set(k, []); out.get(k).push(row); }
    return out;
  };

  // Values of a category column: the given order first, the others as they come.
  function ordered(table, spec, key) {
    const column = spec[key], wanted = ((spec.order || {})[key] || []).map(String), present = table.unique(column);
    if (!wanted.length) return present;
    const at = (v) => wanted.indexOf(table.key(column, v));
    const all = [...new Set(table.col(column).filter((v) => v !== null))];
    return [...all.filter((v) => at(v) >= 0).sort((a, b) => at(a) - at(b)), ...all.filter((v) => at(v) < 0)];
  }

  // One look for each series value, the same in all facets and panels, as the static picture has it.
  function seriesStyles(view, specs) {
    const columns = new Map(), styles = new Map(), T = SC.tokens;
    for (const spec of specs) if (spec.series) {
      const table = view.all[spec.data];
      const [values, given] = columns.get(spec.series) || columns.set(spec.series, [[], {}]).get(spec.series);
      for (const v of ordered(table, spec, "series")) if (!values.some((o) => o.key === table.key(spec.series, v))) values.push({ key: table.key(spec.series, v), value: v });
      Object.assign(given, spec.colors || {});
    }
    for (const [values, given] of columns.values()) {
      let free = T.names.filter((n) => !values.some(({ key }) => given[key] === n)), taken = 0;
      if (!free.length) free = T.names;
      values.filter(({ key }) => !styles.has(key)).forEach(({ key, value }, position) => {
        const token = given[key] || free[taken++ % free.length], turn = position % T.markers.length;
        styles.set(key, { key, value, token, colour: view.colours[token], marker: T.markers[turn], hatch: HATCHES[turn],
          dashes: T.dashes[(turn + Math.floor(position / T.markers.length)) % T.dashes.length] });
      });
    }
    styles.set(null, { key: null, token: "blue", colour: view.colours.blue, marker: "o", hatch: "", dashes: [] });
    return styles;
  }

  // Rows whose needed values are all there.
  function clean(table, columns) {
    const needed = [...new Set(columns.filter(Boolean))].map((c) => table.col(c));
    const keep = [];
    for (let i = 0; i < table.length; i++) if (needed.every((c) => c[i] !== null)) keep.push(i);
    return keep.length === table.length ? table : table.pick(keep);
  }

  // [{style, rows}] of the series of a table, in the styles' order.
  function groups(table, spec, styles) {
    if (!spec.series) return table.length ? [{ style: styles.get(null), rows: table.rows }] : [];
    const by = groupBy(table.rows.filter((r) => r[spec.series] !== null), (r) => table.key(spec.series, r[spec.series]));
    return [...styles.values()].filter((s) => by.has(s.key)).map((style) => ({ style, rows: by.get(style.key) }));
  }

  // Mean and spread of y over the rows with equal x.
  function summary(rows, x, y, spread) {
    return [...groupBy(rows, (r) => r[x])].map(([at, own]) => {
      const values = own.map((r) => r[y]), m = mean(values), n = values.length;
      let low = Math.min(...values), high = Math.max(...values);
      if (spread !== "range") {
        let half = n > 1 ? Math.sqrt(values.reduce((a, v) => a + (v - m) ** 2, 0) / (n - 1)) : 0;
        if (spread === "se") half /= Math.sqrt(n);
        [low, high] = [m - half, m + half];
      }
      return { x: at, y: m, low, high, n };
    });
  }

  const SPREAD_NAMES = { range: "range", sd: "± one standard deviation", se: "± one standard error" };
  const valueOf = (column, spec, fallback) => SC.formula(safe(spec || column || fallback, 40));
  const xName = (spec) => valueOf(spec.x, spec.horizontal ? spec.ylabel : spec.xlabel);
  const yName = (spec) => valueOf(spec.y, spec.horizontal ? spec.xlabel : spec.ylabel);
  const hoverLines = (spec, row) => (spec.hover || []).filter((c) => row[c] !== null && row[c] !== "").map((c) => [safe(c), typeof row[c] === "number" ? SC.number(row[c]) : safe(row[c], 200)]);
  const seriesLine = (spec, style) => (style.key === null ? [] : [safe(style.value)]);
  // What other columns a row of the data has: shown when a single row is read.
  const joined = (lines) => lines.map((l) => (Array.isArray(l) ? `${l[0]} ${l[1]}` : l)).join(", ");

  // --------------------------------------------------------------------- kinds
  // Each: needs(spec) -> columns without which a row is not drawn; measure(part) -> {x, y} extents or names;
  // draw(part, frame, context) -> marks; tell(part) -> sentence.
  const KIND = {};

  const lineData = (part) => {
    const { spec } = part, given = SPREADS.includes(spec.error) ? null : spec.error;
    const spread = SPREADS.includes(spec.error) ? spec.error : spec.band || "range";
    return groups(part.clean, spec, part.styles).map(({ style, rows }) => {
      rows = [...rows].sort((a, b) => a[spec.x] - b[spec.x]);
      let points, banded = true;
      if (spec.low) points = rows.map((r) => ({ x: r[spec.x], y: r[spec.y], low: r[spec.low], high: r[spec.high], n: 1 }));
      else if (given) points = rows.map((r) => ({ x: r[spec.x], y: r[spec.y], low: r[spec.y] - r[given], high: r[spec.y] + r[given], n: 1 }));
      else { points = summary(rows, spec.x, spec.y, spread); banded = points.some((p) => p.n > 1); }
      return { style, points, banded, spread: spec.low || given ? "band" : SPREAD_NAMES[spread] };
    });
  };
  KIND.lines = {
    needs: (s) => [s.x, s.y, s.low, s.high, SPREADS.includes(s.error) ? null : s.error],
    measure(part) {
      const all = lineData(part).flatMap((g) => g.points.map((p) => ({ ...p, banded: g.banded })));
      return { x: all.map((p) => p.x), y: all.flatMap((p) => (p.banded ? [p.y, p.low, p.high] : [p.y])) };
    },
    draw(part, f, { view, hidden }) {
      const { spec } = part, marks = [], few = new Set(part.clean.col(spec.x)).size <= 25;
      for (const { style, points, banded, spread } of lineData(part)) {
        if (hidden.has(style.key)) continue;
        const at = (p) => [f.x(p.x), f.y(p.y)];
        if (banded) f.g.append(svg("path", { d: path([...points.map((p) => [f.x(p.x), f.y(p.high)]), ...[...points].reverse().map((p) => [f.x(p.x), f.y(p.low)])]) + "z", style: { fill: style.colour, "fill-opacity": 0.2 } }));
        f.g.append(svg("path", { d: path(points.map(at)), fill: "none", "stroke-width": 2.2, "stroke-dasharray": style.dashes.join(" "), "stroke-linejoin": "round", style: { stroke: style.colour } }));
        for (const p of points) {
          const [x, y] = at(p);
          if (spec.markers ?? few) view.mark(f, style.colour, style.marker, x, y, 4);
          marks.push({ x, y, group: style.key, lines: [...seriesLine(spec, style), [xName(spec), SC.number(p.x)], [yName(spec), SC.number(p.y)],
            ...(banded && p.high > p.low ? [[spread, `${SC.number(p.low)} to ${SC.number(p.high)}`]] : []), ...(p.n > 1 ? [["rows", String(p.n)]] : [])] });
        }
      }
      return marks;
    },
    tell: (part, hidden) => lineData(part).filter((g) => !hidden.has(g.style.key) && g.points.length).map(({ style, points }) => {
      const [a, b] = [points[0], points.at(-1)], top = points.reduce((p, q) => (q.y > p.y ? q : p));
      return `${style.key === null ? "The line" : safe(style.value)}: from ${SC.number(a.y)} at ${SC.number(a.x)} to ${SC.number(b.y)} at ${SC.number(b.x)}, highest ${SC.number(top.y)} at ${SC.number(top.x)}.`;
    }),
  };

  function arrowHead(f, from, to, colour, size = 9) {
    const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
    const point = (turn, r) => [to[0] - r * Math.cos(angle + turn), to[1] - r * Math.sin(angle + turn)];
    (f.g || f).append(svg("path", { d: path([to, point(0.4, size), point(-0.4, size)]) + "z", style: { fill: colour } }));
  }

  const pathData = (part) => groups(part.clean, part.spec, part.styles).map(({ style, rows }) => ({ style,
    rows: part.spec.step ? [...rows].sort((a, b) => (a[part.spec.step] > b[part.spec.step] ? 1 : a[part.spec.step] < b[part.spec.step] ? -1 : 0)) : rows }));
  KIND.path = {
    needs: (s) => [s.x, s.y, s.step],
    measure: (part) => ({ x: part.clean.col(part.spec.x), y: part.clean.col(part.spec.y) }),
    draw(part, f, { view, hidden, labels, ways }) {
      const { spec } = part, marks = [];
      for (const { style, rows } of pathData(part)) {
        if (hidden.has(style.key)) continue;
        const at = rows.map((r) => [f.x(r[spec.x]), f.y(r[spec.y])]);
        at.slice(1).forEach((to, i) => ways.push([...at[i], ...to]));
        f.g.append(svg("path", { d: path(at), fill: "none", "stroke-width": 2, "stroke-dasharray": style.dashes.join(" "), "stroke-linejoin": "round", style: { stroke: style.colour } }));
        at.forEach(([x, y], i) => {
          if (i) view.mark(f, style.colour, style.marker, x, y, 3.6);
          else f.g.append(svg("path", { d: SC.marker(style.marker, 5), transform: `translate(${x},${y})`, "stroke-width": 2, style: { fill: view.colours.ground, stroke: style.colour } }));
          if (spec.label) labels.push({ f, x, y, text: rows[i][spec.label], heading: [0, 0] });
          marks.push({ x, y, group: style.key, lines: [...seriesLine(spec, style), ...(spec.label && rows[i][spec.label] !== null ? [safe(rows[i][spec.label], 160)] : []),
            ...(spec.step ? [[safe(spec.step), safe(rows[i][spec.step])]] : [["point", `${i + 1} of ${rows.length}`]]),
            [xName(spec), SC.number(rows[i][spec.x])], [yName(spec), SC.number(rows[i][spec.y])], ...hoverLines(spec, rows[i])] });
        });
        if (at.length > 1) arrowHead(f, at.at(-2), at.at(-1), style.colour);
      }
      return marks;
    },
    tell: (part, hidden) => pathData(part).filter((g) => !hidden.has(g.style.key)).map(({ style, rows }) => {
      const say = (r) => `(${SC.number(r[part.spec.x])}, ${SC.number(r[part.spec.y])})`;
      return `${style.key === null ? "The path" : safe(style.value)} leads in ${rows.length} points from ${say(rows[0])} to ${say(rows.at(-1))}.`;
    }),
  };

  const dotSize = (share, part) => (part.spec.count
    ? Math.sqrt(6 + (part.narrow ? 64 : 144) * share) : Math.sqrt(14 + 160 * share)) * 0.68;
  KIND.scatter = {
    needs: (s) => [s.x, s.y, s.error, s.count ? null : s.size],
    measure(part) {
      const { spec } = part, x = part.clean.col(spec.x), y = part.clean.col(spec.y);
      const error = spec.error && part.clean.col(spec.error);
      return { x, y: error ? y.flatMap((v, i) => [v - error[i], v + error[i]]) : y };
    },
    draw(part, f, { view, hidden, labels }) {
      const { spec } = part, marks = [], shown = groups(part.clean, spec, part.styles), many = part.clean.length;
      const random = SC.random(1), moves = new Map();
      if (spec.jitter && !spec.count) part.clean.rows.forEach((r) => moves.set(r, [(random() * 2 - 1) * spec.jitter, (random() * 2 - 1) * spec.jitter]));
      const [low, high] = part.sizes || [0, 1];
      shown.forEach(({ style, rows }, position) => {
        if (hidden.has(style.key)) return;
        let dots = rows.map((r) => ({ row: r, n: 1 }));
        if (spec.count) dots = [...groupBy(rows, (r) => `${r[spec.x]},${r[spec.y]}`).values()].map((own) => ({ row: own[0], n: own.length }));
        const alpha = dots.length <= 150 ? 0.9 : dots.length <= 1000 ? 0.6 : 0.4;
        const aside = spec.count ? 0.8 * (part.narrow ? 8 : 12) * (position - (shown.length - 1) / 2) : 0;
        for (const { row, n } of dots) {
          const [mx, my] = moves.get(row) || [0, 0];
          const x = f.x(row[spec.x] + mx) + aside, y = f.y(row[spec.y] + my);
          const by = spec.count ? n : spec.size ? row[spec.size] : null;
          const r = by === null ? (many <= 150 ? 4 : many <= 1000 ? 2.8 : 2.2) : dotSize(Math.min(Math.max((by - low) / (high - low || 1), 0), 1), part);
          if (spec.error) for (const end of [1]) f.g.append(svg("path", { d: `M${x},${f.y(row[spec.y] - row[spec.error])}V${f.y(row[spec.y] + end * row[spec.error])}`, "stroke-width": 1.4, style: { stroke: style.colour } }));
          view.mark(f, style.colour, style.marker, x, y, r, { "fill-opacity": alpha });
          if (spec.label) labels.push({ f, x, y, text: row[spec.label], heading: [0, 0] });
          marks.push({ x, y, r, group: style.key, lines: [...seriesLine(spec, style), ...(spec.label && row[spec.label] !== null ? [safe(row[spec.label], 200)] : []),
            [xName(spec), SC.number(row[spec.x])], [yName(spec), SC.number(row[spec.y])],
            ...hoverLines(spec, row), ...(spec.error ? [["±", SC.number(row[spec.error])]] : []), ...(spec.size && !spec.count ? [[safe(spec.size), SC.number(row[spec.size])]] : []), ...(spec.count ? [["rows", String(n)]] : [])] });
        }
      });
      if (spec.fit && new Set(part.clean.col(spec.x)).size > 1) {
        const xs = part.clean.col(spec.x), ys = part.clean.col(spec.y), mx = mean(xs), my = mean(ys);
        const slope = xs.reduce((a, v, i) => a + (v - mx) * (ys[i] - my), 0) / xs.reduce((a, v) => a + (v - mx) ** 2, 0);
        f.g.append(svg("path", { class: "sc-rule", d: path(SC.extent(xs).map((v) => [f.x(v), f.y(my + slope * (v - mx))])) }));
      }
      return marks.sort((a, b) => a.x - b.x || a.y - b.y);
    },
    tell: (part, hidden) => groups(part.clean, part.spec, part.styles).filter((g) => !hidden.has(g.style.key)).map(({ style, rows }) => {
      const { spec } = part, [a, b] = SC.extent(rows.map((r) => r[spec.x])), [c, d] = SC.extent(rows.map((r) => r[spec.y]));
      return `${style.key === null ? "" : safe(style.value) + ": "}${rows.length} ${rows.length === 1 ? "row" : "rows"}, ${xName(spec)} ${SC.number(a)} to ${SC.number(b)}, ${yName(spec)} ${SC.number(c)} to ${SC.number(d)}.`;
    }),
  };

  /** A name within a sentence; a number stands as it is. */
  const quoted = (value) => (/^[−+-]?[\d.]+$/.test(safe(value)) ? safe(value) : `“${safe(value)}”`);
  const barData = (part) => {
    const { spec } = part, given = SPREADS.includes(spec.error) ? null : spec.error, spread = given || !spec.error ? "range" : spec.error;
    return groups(part.clean, spec, part.styles).map(({ style, rows }) => {
      const halves = given && groupBy(rows, (r) => r[spec.x]);
      return { style, spread: given ? "±" : SPREAD_NAMES[spread], bars: summary(rows, spec.x, spec.y, spread).map((b) => {
        if (halves) { const half = mean(halves.get(b.x).map((r) => r[given])); b.low = b.y - half; b.high = b.y + half; }
        return b;
      }) };
    });
  };
  KIND.bars = {
    needs: (s) => [s.x, s.y, SPREADS.includes(s.error) ? null : s.error],
    measure(part) {
      const data = barData(part), flat = part.spec.horizontal;
      let values = data.flatMap((g) => g.bars.flatMap((b) => [b.y, b.low, b.high]));
      if (part.spec.stacked) values = [...groupBy(data.flatMap((g) => g.bars), (b) => b.x).values()].map((own) => own.reduce((a, b) => a + b.y, 0));
      let [low, high] = SC.extent([0, ...values]);
      const reach = (high - low) * (part.spec.stacked ? 0 : !part.spec.annotate ? 0.05 : flat && part.narrow ? 0.24 : 0.14); // room for the numbers
      if (low < 0) low -= reach;
      if (high > 0) high += reach;
      const axis = [low, high], names = part.categories;
      return flat ? { x: axis, y: names, exact: true } : { x: names, y: axis, exact: true };
    },
    draw(part, f, { view, hidden }) {
      const { spec } = part, flat = Boolean(spec.horizontal), marks = [], order = part.categories;
      const data = barData(part).filter((g) => !hidden.has(g.style.key)), count = spec.stacked ? 1 : Math.max(data.length, 1);
      const [across, along] = flat ? [f.y, f.x] : [f.x, f.y], thick = (across.step * 0.8) / count, tops = new Map();
      const form = spec.format || (spec.stacked ? ".0f" : ".1f");
      const zero = (v) => Math.min(Math.max(v, Math.min(...along.domain)), Math.max(...along.domain));
      const rect = (at, from, to, wide) => { const [a, b] = [along(zero(from)), along(zero(to))], [low, long] = [Math.min(a, b), Math.abs(b - a)];
        return flat ? [low, at - wide / 2, long, wide] : [at - wide / 2, low, wide, long]; };
      const longest = Math.max(...along.range.map((v, i, r) => Math.abs(r[1] - r[0])));
      // One size for all numbers over upright bars; one that would touch its neighbour moves up.
      const said = data.flatMap((g) => g.bars.map((b) => SC.format(b.y, form))), placed = [];
      const small = !flat && !spec.stacked && thick < Math.max(0, ...said.map((text) => SC.measure(text, 11))) + 2 ? 9 : 11;
      const clear = (x, y, wide, side) => {
        const meets = (o) => Math.abs(o.x - x) < (o.wide + wide) / 2 + 2 && Math.abs(o.y - y) < small;
        while (placed.some(meets)) y -= side * 2;
        placed.push({ x, y, wide });
        return y;
      };
      data.forEach(({ style, bars, spread }, position) => {
        for (const b of [...bars].sort((p, q) => order.indexOf(p.x) - order.indexOf(q.x))) {
          const middle = across(order.indexOf(b.x)), start = spec.stacked ? tops.get(b.x) || 0 : 0;
          const at = spec.stacked ? middle : middle + (position - (count - 1) / 2) * thick;
          const box = rect(at, start, start + b.y, spec.stacked ? thick : thick * 0.92);
          tops.set(b.x, start + b.y);
          f.g.append(svg("rect", { x: box[0], y: box[1], width: box[2], height: box[3], style: { fill: style.colour, stroke: view.colours.ground, "stroke-width": spec.stacked ? 1 : 0 } }));
          if (spec.stacked && style.hatch) f.g.append(svg("rect", { x: box[0], y: box[1], width: box[2], height: box[3], fill: hatch(view, style.hatch) }));
          if (!spec.stacked && (b.high > b.y || b.low < b.y)) {
            const [l, h] = [along(b.low), along(b.high)];
            f.g.append(svg("path", { d: flat ? `M${l},${at}H${h}M${l},${at - 4}v8M${h},${at - 4}v8` : `M${at},${l}V${h}M${at - 4},${l}h8M${at - 4},${h}h8`, fill: "none", "stroke-width": 1.4, style: { stroke: view.colours.ink } }));
          }
          if (spec.annotate) {
            const text = SC.format(b.y, form), size = 11;
            if (spec.stacked) {
              if ((flat ? box[2] : box[3]) > (flat ? SC.measure(text, size) + 6 : 15)) {
                const wide = SC.measure(text, size) + 4, x = box[0] + box[2] / 2, y = box[1] + box[3] / 2;
                f.g.append(svg("rect", { x: x - wide / 2, y: y - 7, width: wide, height: 14, style: { fill: style.colour } }));
                f.g.append(svg("text", { x, y: y + 4, "text-anchor": "middle", style: { fill: SC.inkOn(view.hex[style.token]), "font-size": `${size}px` } }, text));
              }
            } else {
              const side = b.y < 0 ? -1 : 1, tip = along(side > 0 ? Math.max(b.high, b.y) : Math.min(b.low, b.y));
              if (flat) f.g.append(svg("text", { x: tip + 4 * side, y: at + 4, "text-anchor": side > 0 ? "start" : "end", style: { "font-size": `${size}px` } }, text));
              else if (thick >= SC.measure(text, 9) * 0.8) f.g.append(svg("text", { x: at, y: clear(at, tip - 4 * side + (side < 0 ? 8 : 0), SC.measure(text, small), side), "text-anchor": "middle", style: { "font-size": `${small}px` } }, text));
            }
          }
          const tip = along(start + b.y);
          marks.push({ x: flat ? tip : at, y: flat ? at : tip, box: [box[0] - 1, box[1] - 1, Math.max(box[2], 2) + 2, Math.max(box[3], 2) + 2], near: true, group: style.key, lines: [safe(b.x, 120), ...seriesLine(spec, style), [yName(spec), spec.format ? SC.format(b.y, spec.format) : SC.number(b.y)],
            ...(!spec.stacked && b.high > b.low ? [[spread, spread === "±" ? SC.number(b.high - b.y) : `${SC.number(b.low)} to ${SC.number(b.high)}`]] : []), ...(b.n > 1 ? [["rows", String(b.n)]] : [])] });
        }
      });
      if (along.domain[0] < 0) { const u = along(0); f.g.append(svg("line", { class: "sc-axis", ...(flat ? { x1: u, x2: u, y1: f.top, y2: f.bottom } : { x1: f.left, x2: f.right, y1: u, y2: u }) })); }
      return marks;
    },
    tell: (part, hidden) => barData(part).filter((g) => !hidden.has(g.style.key)).map(({ style, bars }) => {
      const most = bars.reduce((a, b) => (b.y > a.y ? b : a)), least = bars.reduce((a, b) => (b.y < a.y ? b : a));
      return `${style.key === null ? "" : safe(style.value) + ": "}${bars.length === 1 ? `${safe(most.x)} ${SC.number(most.y)}` : `highest ${quoted(most.x)} with ${SC.number(most.y)}, lowest ${quoted(least.x)} with ${SC.number(least.y)}`}.`;
    }),
  };

  // The pattern of one series over its colour, as the static picture's hatching.
  let patterns = 0;
  function hatch(view, kind) {
    const own = (view.memory.hatches = view.last === view.memory.hatchOf ? view.memory.hatches : {});
    view.memory.hatchOf = view.last;
    if (!own[kind]) {
      const id = `sc-hatch-${++patterns}`, line = (d) => svg("path", { d, "stroke-width": 1, fill: "none", style: { stroke: view.colours.ground } });
      const shapes = { "/": ["M-2,2L2,-2M0,8L8,0M6,10L10,6"], "\\": ["M-2,6L2,10M0,0L8,8M6,-2L10,2"], x: ["M0,8L8,0M0,0L8,8"], "-": ["M0,4H8"], "+": ["M0,4H8M4,0V8"] };
      const pattern = svg("pattern", { id, width: 8, height: 8, patternUnits: "userSpaceOnUse" },
        kind === "." ? [[2, 2], [6, 6]].map(([cx, cy]) => svg("circle", { cx, cy, r: 0.9, style: { fill: view.colours.ground } })) : shapes[kind].map(line));
      view.last.append(svg("defs", {}, pattern));
      own[kind] = `url(#${id})`;
    }
    return own[kind];
  }

  const cells = (part) => {
    const { spec } = part;
    return [...groupBy(part.clean.rows, (r) => JSON.stringify([r[spec.x], r[spec.y]])).values()].map((own) => ({ row: own[0], value: mean(own.map((r) => r[spec.value])), n: own.length, marked: spec.mark && own.some((r) => r[spec.mark]) }));
  };
  const heatRange = (spec, values) => {
    let [low, high] = [spec.vmin ?? Math.min(...values), spec.vmax ?? Math.max(...values)];
    if (spec.center !== undefined && spec.center !== null) { const reach = Math.max(Math.abs(high - spec.center), Math.abs(spec.center - low)) || 1; [low, high] = [spec.center - reach, spec.center + reach]; }
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  };
  KIND.heatmap = {
    needs: (s) => [s.x, s.y, s.value],
    measure: (part) => ({ x: ordered(part.clean, part.spec, "x"), y: ordered(part.clean, part.spec, "y"), bare: true }),
    draw(part, f, { view }) {
      const { spec } = part, xs = ordered(part.clean, spec, "x"), ys = ordered(part.clean, spec, "y"), marks = [];
      const diverging = spec.center !== undefined && spec.center !== null, [w, h] = [f.x.step, f.y.step];
      const width = Math.max(...cells(part).map((c) => SC.measure(SC.format(c.value, spec.format || ".2f"), 11)));
      for (const c of cells(part)) {
        const i = xs.indexOf(c.row[spec.x]), j = ys.indexOf(c.row[spec.y]), [x, y] = [f.x(i), f.y(j)];
        const { fill, ink } = view.heat(c.value, part.low, part.high, { diverging });
        const box = [x - w / 2, y - h / 2, w, h], label = spec.text ? c.row[spec.text] : null;
        f.g.append(svg("rect", { x: box[0], y: box[1], width: w + 0.3, height: h + 0.3, fill }));
        if (c.marked) for (const [stroke, wide] of [["#000000", 3], ["#ffffff", 1.2]])
          f.g.append(svg("rect", { x: box[0] + w * 0.1, y: box[1] + h * 0.1, width: w * 0.8, height: h * 0.8, fill: "none", stroke, "stroke-width": wide }));
        if (label !== null && label !== undefined) {
          const longest = Math.max(...String(safe(label, 28)).split(" ").map((word) => SC.measure(word, 10)), 1);
          const size = Math.max(6.5, Math.min(12, (10 * (w - 4)) / longest)), lines = SC.wrap(safe(label, 28), w - 3, size);
          lines.forEach((line, k) => f.g.append(svg("text", { x, y: y + size * 0.35 + (k - (lines.length - 1) / 2) * size * 1.15, "text-anchor": "middle", style: { fill: ink, "font-size": `${size}px` } }, line)));
        } else if (spec.annotate && !spec.text && w > width * 0.85 + 2 && h > 11)
          f.g.append(svg("text", { x, y: y + 4, "text-anchor": "middle", style: { fill: ink, "font-size": w > width + 6 ? "11px" : "9px" } }, SC.format(c.value, spec.format || ".2f")));
        marks.push({ x, y, box, group: `row ${j}`, order: j * xs.length + i, lines: [...(label !== null && label !== undefined ? [safe(label, 200)] : []), [valueOf(spec.x, spec.xlabel), safe(c.row[spec.x])], [valueOf(spec.y, spec.ylabel), safe(c.row[spec.y])],
          [valueOf(spec.value, spec.vlabel), spec.format ? SC.format(c.value, spec.format) : SC.number(c.value)], ...(c.marked ? [`framed: ${safe(spec.mark)}`] : []), ...(c.n > 1 ? [["rows", String(c.n)]] : [])] });
      }
      return marks.sort((a, b) => a.order - b.order);
    },
    tell(part) {
      const all = cells(part), most = all.reduce((a, b) => (b.value > a.value ? b : a)), least = all.reduce((a, b) => (b.value < a.value ? b : a)), { spec } = part;
      const where = (c) => `${SC.number(c.value)} at ${xName(spec)} ${safe(c.row[spec.x])}, ${yName(spec)} ${safe(c.row[spec.y])}`;
      return [`${all.length} cells; highest ${where(most)}; lowest ${where(least)}.`];
    },
  };
  // The scale of a heatmap's colours.
  function colourBar(view, picture, x, top, height, part) {
    const steps = 40, diverging = part.spec.center !== undefined && part.spec.center !== null, scale = SC.scale([part.low, part.high], [top + height, top]);
    for (let i = 0; i < steps; i++) {
      const value = part.low + ((i + 0.5) / steps) * (part.high - part.low);
      picture.append(svg("rect", { x, y: top + height - ((i + 1) / steps) * height, width: 12, height: height / steps + 0.5, fill: view.heat(value, part.low, part.high, { diverging }).fill }));
    }
    let wide = 0;
    for (const t of SC.ticks(part.low, part.high, Math.max(2, Math.round(height / 40)))) {
      picture.append(svg("text", { x: x + 17, y: scale(t) + 4 }, SC.number(t)));
      wide = Math.max(wide, SC.measure(SC.number(t), 11.5));
    }
    const label = SC.wrap(SC.formula(part.spec.vlabel || part.spec.value), Math.max(height + 30, 60), 12);
    label.forEach((line, i) => picture.append(svg("text", { class: "sc-label", "text-anchor": "middle", transform: `translate(${x + 17 + wide + 15 + 14 * i},${top + height / 2}) rotate(-90)` }, line)));
  }
  const barRoom = (part) => 34 + Math.max(...SC.ticks(part.low, part.high, 5).map((t) => SC.measure(SC.number(t), 11.5))) + 14 * Math.min(2, SC.wrap(SC.formula(part.spec.vlabel || part.spec.value), 170, 12).length) + 4;

  function edgesOf(values, bins = 30) {
    if (Array.isArray(bins)) return bins;
    const all = finite(values);
    if (!all.length) return [0, 1];
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (low === high) { low -= 0.5; high += 0.5; }
    const n = Number.isInteger(bins) ? bins : Math.max(1, Math.ceil(Math.log2(all.length) + 1));
    return Array.from({ length: n + 1 }, (_, i) => (i === n ? high : low + ((high - low) * i) / n));
  }
  const histData = (part) => groups(part.clean, part.spec, part.styles).map(({ style, rows }) => {
    const edges = part.edges, counts = new Array(edges.length - 1).fill(0);
    let inside = 0;
    for (const r of rows) {
      const v = r[part.spec.x];
      if (v < edges[0] || v > edges.at(-1)) continue;
      let low = 0, high = edges.length - 1;
      while (high - low > 1) { const mid = (low + high) >> 1; if (v >= edges[mid]) low = mid; else high = mid; }
      counts[low]++; inside++;
    }
    const heights = part.spec.density ? counts.map((c, i) => c / (inside || 1) / (edges[i + 1] - edges[i])) : counts;
    return { style, counts, heights, rows };
  });
  const valuesTell = (part, hidden) => groups(part.clean, part.spec, part.styles).filter((g) => !hidden.has(g.style.key)).map(({ style, rows }) => {
    const values = rows.map((r) => r[part.spec.x]), [a, b] = SC.extent(values);
    return `${style.key === null ? "" : safe(style.value) + ": "}${values.length} values from ${SC.number(a)} to ${SC.number(b)}, mean ${SC.number(mean(values))}.`;
  });
  KIND.histogram = {
    needs: (s) => [s.x],
    measure(part) { const high = Math.max(0, ...histData(part).flatMap((g) => g.heights)); return { x: part.edges, y: [0, high * 1.05 || 1], exact: "y" }; },
    draw(part, f, { hidden }) {
      const { spec, edges } = part, marks = [];
      for (const { style, counts, heights } of histData(part)) {
        if (hidden.has(style.key)) continue;
        const outline = [[f.x(edges[0]), f.y(0)], ...heights.flatMap((h, i) => [[f.x(edges[i]), f.y(h)], [f.x(edges[i + 1]), f.y(h)]]), [f.x(edges.at(-1)), f.y(0)]];
        f.g.append(svg("path", { d: path(outline) + "z", style: { fill: style.colour, "fill-opacity": 0.28 } }));
        f.g.append(svg("path", { d: path(outline), fill: "none", "stroke-width": 1.8, "stroke-dasharray": style.dashes.join(" "), style: { stroke: style.colour } }));
        heights.forEach((h, i) => {
          const x = f.x((edges[i] + edges[i + 1]) / 2);
          marks.push({ x, y: f.y(h), group: style.key, lines: [...seriesLine(spec, style), [xName(spec), `${SC.number(edges[i])} to ${SC.number(edges[i + 1])}`], ["values", String(counts[i])], ...(spec.density ? [["share per unit", SC.number(h)]] : [])] });
        });
      }
      return marks;
    },
    tell: valuesTell,
  };

  // Gaussian kernel density with Scott's bandwidth, as scipy's gaussian_kde.
  function density(values, grid) {
    const n = values.length, m = mean(values), sd = Math.sqrt(values.reduce((a, v) => a + (v - m) ** 2, 0) / (n - 1)), width = sd * n ** -0.2;
    return grid.map((g) => { let sum = 0; for (const v of values) { const z = (g - v) / width; if (z < 9 && z > -9) sum += Math.exp(-0.5 * z * z); } return sum / (n * width * Math.sqrt(2 * Math.PI)); });
  }
  const densityData = (part) => {
    if (part.densities) return part.densities;
    const all = part.clean.col(part.spec.x), [low, high] = SC.extent(all), reach = Math.max(...all) - Math.min(...all) || 1;
    const [a, b] = reach === 1 && low !== Math.min(...all) ? [Math.min(...all) - 0.08, Math.max(...all) + 0.08] : [low - 0.08 * reach, high + 0.08 * reach];
    const grid = Array.from({ length: 240 }, (_, i) => a + ((b - a) * i) / 239);
    part.densities = groups(part.clean, part.spec, part.styles).map(({ style, rows }) => {
      const values = rows.map((r) => r[part.spec.x]), flat = values.length < 2 || Math.min(...values) === Math.max(...values);
      return { style, grid, values, heights: flat ? null : density(values, grid) };
    });
    return part.densities;
  };
  KIND.density = {
    needs: (s) => [s.x],
    measure(part) { const data = densityData(part), high = Math.max(0, ...data.flatMap((g) => g.heights || [])); return { x: data.length ? [data[0].grid[0], data[0].grid.at(-1)] : [], y: [0, high * 1.05 || 1], exact: "y" }; },
    draw(part, f, { hidden }) {
      const marks = [], { spec } = part;
      for (const { style, grid, values, heights } of densityData(part)) {
        if (hidden.has(style.key)) continue;
        const line = { fill: "none", "stroke-width": 2.2, "stroke-dasharray": style.dashes.join(" "), style: { stroke: style.colour } };
        if (!heights) { // one value has no density: show where it lies
          const x = f.x(values[0]);
          f.g.append(svg("path", { d: `M${x},${f.top}V${f.bottom}`, ...line }));
          marks.push({ x, y: (f.top + f.bottom) / 2, group: style.key, lines: [...seriesLine(spec, style), [xName(spec), SC.number(values[0])]] });
          continue;
        }
        const points = grid.map((g, i) => [f.x(g), f.y(heights[i])]);
        f.g.append(svg("path", { d: path([[points[0][0], f.y(0)], ...points, [points.at(-1)[0], f.y(0)]]) + "z", style: { fill: style.colour, "fill-opacity": 0.2 } }));
        f.g.append(svg("path", { d: path(points), ...line }));
        points.forEach(([x, y], i) => { if (i % 6 === 0) marks.push({ x, y, group: style.key, lines: [...seriesLine(spec, style), [xName(spec), SC.number(grid[i])], ["density", SC.number(Number(heights[i].toPrecision(3)))]] }); });
      }
      return marks;
    },
    tell: valuesTell,
  };

  KIND.arrows = {
    needs: (s) => [s.x, s.y, s.x2, s.y2],
    measure: ({ spec, clean: t }) => ({ x: [...t.col(spec.x), ...t.col(spec.x2)], y: [...t.col(spec.y), ...t.col(spec.y2)] }),
    draw(part, f, { hidden, labels }) {
      const { spec } = part, marks = [];
      for (const { style, rows } of groups(part.clean, spec, part.styles)) {
        if (hidden.has(style.key)) continue;
        for (const r of rows) {
          const a = [f.x(r[spec.x]), f.y(r[spec.y])], b = [f.x(r[spec.x2]), f.y(r[spec.y2])], long = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
          const stop = [b[0] - ((b[0] - a[0]) / long) * Math.min(6, long), b[1] - ((b[1] - a[1]) / long) * Math.min(6, long)];
          f.g.append(svg("path", { d: path([a, stop]), "stroke-width": 2.2, style: { stroke: style.colour } }));
          arrowHead(f, a, b, style.colour, 10);
          if (spec.label) labels.push({ f, x: b[0], y: b[1], text: r[spec.label], heading: [b[0] - a[0], b[1] - a[1]] });
          marks.push({ x: b[0], y: b[1], group: style.key, lines: [...seriesLine(spec, style), ...(spec.label && r[spec.label] !== null ? [safe(r[spec.label], 200)] : []),
            ["from", `(${SC.number(r[spec.x])}, ${SC.number(r[spec.y])})`], ["to", `(${SC.number(r[spec.x2])}, ${SC.number(r[spec.y2])})`]] });
        }
      }
      return marks;
    },
    tell: (part, hidden) => [`${groups(part.clean, part.spec, part.styles).filter((g) => !hidden.has(g.style.key)).reduce((a, g) => a + g.rows.length, 0)} arrows.`],
  };

  // Column of each box: one more than its furthest source; edges that close a loop are passed.
  function layers(edges) {
    const nodes = [...new Set(edges.flat())], depth = new Map(nodes.map((n) => [n, 0])), forward = [];
    for (const [a, b] of edges) {
      const reach = new Set(), todo = [b];
      while (todo.length) { const node = todo.pop(); reach.add(node); for (const [s, t] of forward) if (s === node && !reach.has(t)) todo.push(t); }
      if (!reach.has(a)) forward.push([a, b]);
    }
    for (const _ of nodes) for (const [a, b] of forward) depth.set(b, Math.max(depth.get(b), depth.get(a) + 1));
    return { depth, forward };
  }
  const flowEdges = (part) => part.clean.rows.map((r) => [safe(r[part.spec.source]), safe(r[part.spec.target])]);
  KIND.flow = {
    needs: (s) => [s.source, s.target],
    free: true, // no axes: draws into a box of the picture
    draw(part, box, { view, picture }) {
      const edges = flowEdges(part), { depth, forward } = layers(edges), marks = [], down = view.narrow, { spec } = part;
      const deep = Math.max(0, ...depth.values()) + 1, columns = Array.from({ length: deep }, (_, d) => [...depth.keys()].filter((n) => depth.get(n) === d));
      const wide = Math.max(...columns.map((c) => c.length)), back = edges.some(([a, b]) => !forward.some(([s, t]) => s === a && t === b));
      const g = svg("g"), side = down && back ? 76 : 0, foot = !down && back ? 34 : 0, [w, h] = [box.width - 8 - side, box.height - 8 - foot];
      const step = down ? h / deep : w / deep, room = down ? w / wide : h / wide, labelled = Boolean(spec.label);
      const widest = (texts, size) => Math.max(0, ...texts.filter((t) => t !== null && t !== undefined).flatMap((t) => safe(t).split(" ")).map((word) => SC.measure(word, size)));
      const wanted = labelled ? Math.max(0.2 * step, widest(part.clean.col(spec.label), 11) + 12) : Math.min(0.24 * step, 40);
      const gap = down ? (labelled ? 30 : 24) : Math.min(wanted, step - widest([...depth.keys()], 12) - 12, 90);
      // In a single row, words that do not fit between two boxes stand above them.
      const said = !labelled ? [] : part.clean.rows.filter((_, i) => forward.some(([s, t]) => s === edges[i][0] && t === edges[i][1]))
        .map((r) => r[spec.label]).filter((words) => words !== null && words !== "").map((words) => SC.measure(safe(words), 11));
      const above = !down && wide === 1 && said.some((w) => w > gap - 8) && said.every((w) => w < step - 6);
      const half = down ? [Math.min(room * 0.46, 130), (step - gap) / 2] : [(step - gap) / 2, Math.min(room * 0.4, above ? 26 : 34)], place = new Map();
      columns.forEach((names, d) => names.forEach((name, i) => {
        const across = ((i + 0.5) / names.length) * (down ? w : h);
        place.set(name, down ? [box.left + 4 + across, box.top + 4 + (d + 0.5) * step] : [box.left + 4 + (d + 0.5) * step, box.top + 4 + across]);
      }));
      picture.append(g);
      edges.forEach(([a, b], i) => {
        const [xa, ya] = place.get(a), [xb, yb] = place.get(b), ahead = forward.some(([s, t]) => s === a && t === b);
        let way;
        if (ahead) way = down ? [[xa, ya + half[1]], [xb, yb - half[1]]] : [[xa + half[0], ya], [xb - half[0], yb]];
        else if (down) { const x = Math.max(xa, xb) + half[0] + 18; way = [[xa + half[0], ya], [x, ya], [x, yb], [xb + half[0], yb]]; }
        else { const y = Math.max(ya, yb) + half[1] + 20; way = [[xa, ya + half[1]], [xa, y], [xb, y], [xb, yb + half[1]]]; }
        const [p, q] = way.slice(-2), long = Math.hypot(q[0] - p[0], q[1] - p[1]) || 1;
        g.append(svg("path", { d: path([...way.slice(0, -1), [q[0] - ((q[0] - p[0]) / long) * 6, q[1] - ((q[1] - p[1]) / long) * 6]]), fill: "none", "stroke-width": 1.7, style: { stroke: view.colours.muted } }));
        arrowHead(g, p, q, view.colours.muted, 9);
        const label = labelled ? part.clean.rows[i][spec.label] : null;
        if (label !== null && label !== undefined) {
          const [m, n] = way.slice(way.length / 2 - 1, way.length / 2 + 1), [x, y] = [(m[0] + n[0]) / 2, (m[1] + n[1]) / 2];
          if (above && ahead) {
            g.append(svg("text", { class: "sc-halo", x, y: y - half[1] - 6, "text-anchor": "middle", style: { "font-size": "11px" } }, safe(label)));
            return;
          }
          const words = SC.wrap(safe(label), ahead ? (down ? 150 : gap + 4) : down ? 60 : 300, 11);
          words.forEach((line, k) => g.append(svg("text", { class: "sc-halo", x: down ? x + 7 : x - (ahead ? 2 : 0), y: down ? y + 4 + (k - (words.length - 1) / 2) * 13 : y - 5 - (words.length - 1 - k) * 13, "text-anchor": down ? "start" : "middle", style: { "font-size": "11px" } }, line)));
        }
      });
      for (const [name, [x, y]] of place) {
        g.append(svg("rect", { x: x - half[0], y: y - half[1], width: 2 * half[0], height: 2 * half[1], rx: 8, "stroke-width": 1.8, style: { fill: view.colours.grid, stroke: view.colours.blue } }));
        const lines = SC.wrap(name, 2 * half[0] - 10, 12);
        lines.forEach((line, k) => g.append(svg("text", { x, y: y + 4.2 + (k - (lines.length - 1) / 2) * 14.5, "text-anchor": "middle", style: { "font-size": "12px" } }, line)));
        const told = (list) => list.join(", "), to = edges.flatMap(([a, b], i) => (a === name ? [b + (labelled && part.clean.rows[i][spec.label] !== null ? ` (${safe(part.clean.rows[i][spec.label])})` : "")] : [])), from = edges.filter(([, b]) => b === name).map(([a]) => a);
        marks.push({ x, y, box: [x - half[0], y - half[1], 2 * half[0], 2 * half[1]], group: "flow", lines: [name, ...(from.length ? [["from", told(from)]] : []), ...(to.length ? [["to", told(to)]] : [])] });
      }
      return marks;
    },
    tell: (part) => flowEdges(part).map(([a, b]) => `${a} leads to ${b}.`),
  };

  // --------------------------------------------------------------------- what all axes share
  function clip(corners, halves) {
    for (const [p, q, r] of halves) {
      const inside = corners.map(([x, y]) => p * x + q * y - r), kept = [];
      corners.forEach(([x, y], i) => {
        const [x0, y0] = corners.at(i - 1), here = inside[i], before = inside.at(i - 1);
        if (here >= 0 !== before >= 0) { const share = before / (before - here); kept.push([x0 + share * (x - x0), y0 + share * (y - y0)]); }
        if (here >= 0) kept.push([x, y]);
      });
      corners = kept;
    }
    return corners;
  }
  const corners = (region, spec) => region.points || clip([[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => [spec.xlim[i], spec.ylim[j]]), region.where);

  function furniture(part, f, view) {
    const { spec } = part, halo = (attributes, text) => f.g.append(svg("text", { class: "sc-halo", ...attributes }, text));
    for (const region of spec.regions || []) {
      const points = corners(region, spec), colour = view.colours[region.color || "gold"];
      if (!points.length) continue;
      f.back.append(svg("path", { d: path(points.map(([x, y]) => [f.x(x), f.y(y)])) + "z", "stroke-width": 1.5, style: { fill: colour, "fill-opacity": 0.17, stroke: colour } }));
      if (region.label) {
        const [x, y] = region.at || [mean(points.map((p) => p[0])), mean(points.map((p) => p[1]))];
        SC.wrap(SC.formula(region.label), view.narrow ? 90 : 150, 12).forEach((line, i, all) => halo({ x: f.x(x), y: f.y(y) + 4 + (i - (all.length - 1) / 2) * 14, "text-anchor": "middle" }, line));
      }
    }
    if (spec.circle) {
      const r = spec.circle === true ? 1 : spec.circle;
      f.back.append(svg("ellipse", { cx: f.x(0), cy: f.y(0), rx: Math.abs(f.x(r) - f.x(0)), ry: Math.abs(f.y(r) - f.y(0)), fill: "none", "stroke-width": 1.3, style: { stroke: view.colours.muted } }));
    }
    const within = (v, axis) => { const u = axis(v), [a, b] = axis.range; return u >= Math.min(a, b) - 1 && u <= Math.max(a, b) + 1; };
    for (const mark of spec.hlines || []) if (within(mark.at, f.y)) {
      f.back.append(svg("line", { class: "sc-rule", x1: f.left, x2: f.right, y1: f.y(mark.at), y2: f.y(mark.at) }));
      if (mark.label) part.aside(mark.label).forEach((line, i, all) => f.g.append(svg("text", { class: "sc-muted", x: f.right + 5, y: f.y(mark.at) + 4 + (i - (all.length - 1) / 2) * 13, style: { "font-size": "11px" } }, line)));
    }
    // Names of upright lines: right of them, or left, or lower, where one would cover another or the edge.
    const marks = (spec.vlines || []).filter((mark) => within(mark.at, f.x)).sort((a, b) => a.at - b.at), taken = [];
    const lines = marks.filter((mark) => mark.label).map((mark) => f.x(mark.at));
    for (const mark of marks) {
      const x = f.x(mark.at);
      f.back.append(svg("line", { class: "sc-rule", x1: x, x2: x, y1: f.top, y2: f.bottom }));
      if (!mark.label) continue;
      const text = SC.formula(mark.label), wide = SC.measure(text, 11);
      let best = null;
      for (let row = 0; row < lines.length; row++) for (const side of [1, -1]) {
        const left = x + 4 * side - (side < 0 ? wide : 0), right = left + wide;
        const covered = taken.filter((t) => t.row === row && t.left < right && left < t.right).length;
        const outside = Math.max(0, f.left - left, right - f.right - 6), crossed = lines.filter((l) => left < l && l < right).length;
        const cost = 100 * covered + outside + 10 * crossed + 5 * row + (side < 0 ? 2 : 0);
        if (!best || cost < best.cost) best = { cost, row, side, left, right };
      }
      taken.push(best);
      halo({ x: x + 4 * best.side, y: f.top + 10 + 13 * best.row, "text-anchor": best.side < 0 ? "end" : "start", style: { "font-size": "11px", fill: view.colours.muted } }, text);
    }
    for (const note of spec.notes || []) halo({ x: f.x(note.x), y: f.y(note.y) + 4, "text-anchor": "middle" }, SC.formula(note.text));
  }

  // Pixels of a stretch [x, y, x2, y2] that lie in a box [left, top, right, bottom].
  function within([x, y, x2, y2], [left, top, right, bottom]) {
    let from = 0, to = 1;
    for (const [start, way, low, high] of [[x, x2 - x, left, right], [y, y2 - y, top, bottom]]) {
      if (!way) { if (start < low || start > high) return 0; continue; }
      const [a, b] = [(low - start) / way, (high - start) / way];
      from = Math.max(from, Math.min(a, b)); to = Math.min(to, Math.max(a, b));
    }
    return Math.max(0, to - from) * Math.hypot(x2 - x, y2 - y);
  }

  // Texts beside their points, each at the one of eight places that covers least of other texts, points and lines.
  function placeLabels(labels, ways, limit = 60) {
    const taken = labels.map(({ x, y }) => [x - 4, y - 4, x + 4, y + 4]), around = [[7, 0, 0, 0.5], [0, -7, 0.5, 1], [0, 7, 0.5, 0], [-7, 0, 1, 0.5], [6, -6, 0, 1], [6, 6, 0, 0], [-6, -6, 1, 1], [-6, 6, 1, 0]];
    const said = labels.filter(({ text }) => text !== null && text !== undefined && String(text).trim());
    for (const { f, x, y, text, heading } of said.slice(0, limit)) {
      const words = safe(text, 34), w = SC.measure(words, 11), h = 13;
      let best = null;
      around.forEach(([dx, dy, ha, va], cost) => {
        const left = x + dx - ha * w, top = y + dy - va * h, spot = [left, top, left + w, top + h];
        const covered = taken.reduce((a, t) => a + Math.max(0, Math.min(spot[2], t[2]) - Math.max(spot[0], t[0])) * Math.max(0, Math.min(spot[3], t[3]) - Math.max(spot[1], t[1])), 0);
        const crossed = ways.reduce((a, way) => a + within(way, spot), 0); // a line is some pixels wide, and its halo
        const outside = Math.max(0, f.left - left) + Math.max(0, spot[2] - f.right - 4) + Math.max(0, f.top - 8 - top) + Math.max(0, spot[3] - f.bottom);
        const long = Math.hypot(...heading), along = long ? (dx * heading[0] + dy * heading[1]) / long / Math.hypot(dx, dy) : 0;
        const total = covered + 5 * crossed + 30 * outside + cost - 60 * along;
        if (!best || total < best.total) best = { total, spot };
      });
      taken.push(best.spot);
      f.g.append(svg("text", { class: "sc-halo", x: best.spot[0], y: best.spot[3] - 3, style: { "font-size": "11px" } }, words));
    }
  }

  const SWAP = { x: "y", y: "x", xlabel: "ylabel", ylabel: "xlabel" };
  const swapped = (object) => Object.fromEntries(Object.entries(object).map(([k, v]) => [SWAP[k] || k, v]));
  // A heatmap of words lies on its side on a phone where it is wider than high.
  function turned(spec, table) {
    if (!spec.text || table.unique(spec.x).length <= table.unique(spec.y).length) return spec;
    return { ...swapped({ xlabel: spec.x, ylabel: spec.y, ...spec }), order: swapped(spec.order || {}) };
  }

  function shape(spec, count, narrow) {
    let columns = Math.min(count, spec.columns || (count !== 4 ? 3 : 2));
    if (narrow) columns = count > 4 && !["bars", "heatmap", "panels"].includes(spec.kind) ? 2 : 1;
    return [Math.ceil(count / columns), columns];
  }

  // Inches of one row of panels, as the static picture has it.
  function rowHeight(parts, columns, inches, narrow) {
    const { spec, whole: table } = parts[0], across = inches / columns, count = (key) => table.unique(spec[key]).length;
    if (spec.height && !narrow) return spec.height;
    if (spec.kind === "flow") {
      const edges = flowEdges(parts[0]), { depth, forward } = layers(edges), per = new Map();
      for (const d of depth.values()) per.set(d, (per.get(d) || 0) + 1);
      const deep = Math.max(0, ...depth.values()) + 1, back = forward.length < edges.length ? 0.35 : 0;
      return narrow ? 0.95 * deep + 0.2 : Math.max(0.8 * Math.max(0, ...per.values()), 0.95) + back;
    }
    if (parts.some(({ spec: s }) => s.circle || s.aspect === "equal")) return Math.min(0.95 * across, 4.4);
    if (spec.kind === "bars" && spec.horizontal) {
      const side = spec.series && !spec.stacked ? count("series") : 1;
      const tall = Math.max(1, ...table.unique(spec.x).map((v) => SC.wrap(SC.formula(safe(v)), narrow ? 96 : 150, 11.5).length)); // lines of a name
      return Math.min(Math.max(1.4, count("x") * Math.max(0.22 * Math.max(side, 1.4), (tall * 14 + 4) / 100) + 0.7), 9);
    }
    if (spec.kind === "heatmap") return Math.min(Math.max((across * 0.8 * count("y")) / Math.max(count("x"), 1) + 0.6, 1.8), across * 0.95);
    return Math.min(Math.max(0.62 * across, 2.3), 3.6);
  }

  const kindOf = (spec) => (FILLED.includes(spec.kind) ? "area" : spec.kind === "scatter" ? "dot" : "line");

  // The parts of a figure: panels, facets or the one picture.
  function partsOf(view, tables) {
    const first = Object.keys(view.all)[0], whole = view.spec;
    let specs = (whole.panels || [whole]).map((panel) => ({ data: first, ...panel }));
    if (view.narrow) specs = specs.map((s) => turned(s, view.all[s.data]));
    const styles = seriesStyles(view, specs), facet = whole.panels ? null : specs[0].facet;
    const make = (spec, table, title) => {
      const kind = KIND[spec.kind];
      if (!kind) throw new Error(`unknown kind ${spec.kind}`);
      const part = { spec, table, title, styles, kind, whole: view.all[spec.data], narrow: view.narrow };
      part.clean = clean(table, kind.needs(spec));
      if (spec.kind === "histogram") part.edges = edgesOf(finite(part.whole.col(spec.x)), spec.bins);
      if (spec.kind === "bars") part.categories = facet ? ordered(clean(tables[spec.data], [spec.x, spec.y]), spec, "x") : ordered(part.clean, spec, "x");
      if (spec.kind === "heatmap") {
        const values = facet ? finite(part.whole.col(spec.value)) : cells(part).map((c) => c.value);
        [part.low, part.high] = heatRange(spec, values.length ? values : [0, 1]);
      }
      if (spec.kind === "scatter" && (spec.count || spec.size)) {
        const keys = [spec.x, spec.y, spec.series, spec.facet].filter(Boolean);
        part.sizes = spec.count ? [0, Math.max(0, ...[...groupBy(tables[spec.data].rows, (r) => JSON.stringify(keys.map((k) => r[k]))).values()].map((own) => own.length))] : SC.extent(finite(part.whole.col(spec.size)));
      }
      return part;
    };
    if (!facet) return specs.map((spec) => make(spec, tables[spec.data], spec.title));
    const table = tables[specs[0].data];
    return ordered(table, specs[0], "facet").map((value) => make(specs[0], table.where(facet, value), safe(value)));
  }

  // Ends of the axes; with controls over columns the same for all their settings, so that nothing jumps.
  function extents(part) {
    const got = part.kind.measure(part), { spec } = part, out = { bare: got.bare };
    for (const key of ["x", "y"]) {
      const values = got[key];
      if (spec.kind === "heatmap" || (spec.kind === "bars" && (key === "x") !== Boolean(spec.horizontal))) { out[key] = { names: values }; continue; }
      const log = spec[`${key}scale`] === "log", good = finite(values).filter((v) => !log || v > 0);
      let more = [];
      for (const region of spec.regions || []) if (region.points) more.push(...region.points.map((p) => p[key === "x" ? 0 : 1]));
      for (const mark of spec[key === "x" ? "vlines" : "hlines"] || []) more.push(mark.at);
      if (spec.circle) { const r = spec.circle === true ? 1 : spec.circle; more.push(-r, r); }
      let [low, high] = SC.extent(good);
      const exact = got.exact === true || got.exact === key;
      if (more.length) [low, high] = SC.extent([low, high, ...more]);
      if (!exact) {
        if (log) { const f = (high / low) ** 0.05; [low, high] = [low / f, high * f]; }
        else [low, high] = SC.extent([low, high], 0.05);
      }
      out[key] = { domain: [low, high] };
    }
    return out;
  }
  const union = (a, b) => (!a ? b : a.names ? { names: a.names } : { domain: [Math.min(a.domain[0], b.domain[0]), Math.max(a.domain[1], b.domain[1])] });

  // Every setting of the controls that choose rows, where they are few. A range "up to" a value has all rows at its
  // end: a setting of its own for each value would give an axis the margin of a single point.
  function settings(view) {
    if (!view.controls.some((c) => c.column)) return null;
    let all = [[]];
    for (const c of view.controls.filter((one) => one.column && !one.upto)) { const values = c.values || c.options.map(([v]) => v); all = all.flatMap((s) => values.map((v) => [...s, [c.column, v]])); if (all.length > 60) return null; }
    return all;
  }

  function draw(view) {
    const spec = view.spec, parts = partsOf(view, view.tables), facet = !spec.panels && spec.facet, hidden = new Set(view.state.hidden || []), { width, narrow } = view;
    if (!parts.length) { view.root.append(view.html("p", { class: "sc-error", role: "note" }, "Nothing to draw: this table has no rows.")); view.say("Nothing to draw: this table has no rows."); return; }
    const inches = narrow ? 3.8 : 7, unit = Math.min(width / inches, 104), specs = parts.map((p) => p.spec);
    const [rows, columns] = shape(spec, parts.length, narrow);
    let high = rowHeight(parts, columns, inches, narrow) * unit;
    if (spec.panels && spec.height && !narrow) high = spec.height * unit;
    high = Math.max(high, specs[0].kind === "flow" || specs[0].kind === "bars" ? 60 : 170);

    // One legend above all axes that share their series, else one for each.
    const used = (list) => [...parts[0].styles.values()].filter((s) => s.key !== null && list.some((p) => p.spec.series && (p.spec.legend ?? true) && p.clean.col(p.spec.series).some((v) => p.clean.key(p.spec.series, v) === s.key)));
    const entry = (s, list) => ({ ...s, value: s.key, label: safe(s.value, 40), kind: kindOf(list[0].spec) });
    const seriesParts = parts.filter((p) => p.spec.series), together = new Set(seriesParts.map((p) => p.spec.series)).size === 1 && new Set(specs.map((s) => FILLED.includes(s.kind))).size === 1;
    if (seriesParts.length) for (const list of together ? [seriesParts] : seriesParts.map((p) => [p])) {
      const shown = used(list), wanted = list[0].spec.legend, title = typeof wanted === "string" ? wanted : !together && list[0].title ? list[0].title : undefined;
      if (shown.length) view.legend(shown.map((s) => entry(s, list)), { title });
    }

    // Extents: of this setting, or of all.
    const combos = settings(view), memory = view.memory;
    let domains = parts.map(() => null);
    if (combos && (!memory.domains || memory.domains.narrow !== narrow || memory.domains.length !== parts.length)) {
      for (const combo of combos) {
        const tables = Object.fromEntries(Object.entries(view.all).map(([n, t]) => { for (const [c, v] of combo) if (t.has(c)) t = t.where(c, v); return [n, t]; }));
        const settled = partsOf(view, tables);
        if (settled.length === parts.length) settled.forEach((p, i) => { if (p.clean.length && !p.kind.free) { const e = extents(p); domains[i] = domains[i] ? { x: union(domains[i].x, e.x), y: union(domains[i].y, e.y) } : e; } });
      }
      memory.domains = Object.assign(domains, { narrow });
    }
    const ends = parts.map((p, i) => {
      if (!p.clean.length || p.kind.free) return null;
      const own = extents(p), all = combos && memory.domains[i];
      return all ? { ...own, x: own.x.names ? own.x : all.x, y: own.y.names ? own.y : all.y } : own;
    });
    if (facet && specs[0].kind !== "heatmap") for (const key of ["x", "y"]) { // facets share their axes
      const shared = ends.filter(Boolean).reduce((a, e) => union(a, e[key]), null);
      for (const e of ends) if (e) e[key] = shared;
    }
    const heats = parts.filter((p) => p.spec.kind === "heatmap" && p.clean.length), oneBar = facet && heats.length;
    const shared = oneBar ? barRoom(heats[0]) : 0, sharedAxes = facet && specs[0].kind !== "heatmap";
    const gap = columns > 1 ? 14 : 0, extraX = sharedAxes && columns > 1 ? 20 : 0, extraY = sharedAxes && rows > 1 ? 20 : 0;
    const each = (width - shared - gap * (columns - 1) - extraX) / columns, whole = rows * high + (rows - 1) * 10 + extraY;
    const head = spec.title && (facet || spec.panels) ? 24 : 0;
    const picture = view.picture(Math.ceil(whole + head));
    if (head) picture.append(svg("text", { class: "sc-title", x: 2, y: 15, style: { "font-size": "14px" } }, SC.formula(spec.title)));
    const marks = [], labels = [], ways = [], context = { view, hidden, labels, ways, picture }, remarks = [];
    parts.forEach((part, i) => {
      const row = Math.floor(i / columns), column = i % columns, s = part.spec;
      const left = column === 0, bottom = i + columns >= parts.length;
      const box = { left: column * (each + gap) + (left ? 0 : extraX), top: head + row * (high + 10), width: each + (left ? extraX : 0), height: high + (bottom && extraY ? extraY : 0) };
      if (!part.clean.length) {
        const what = part.table.length ? "no row has all the numbers needed" : "this table has no rows";
        SC.wrap(`Nothing to draw: ${what}.`, box.width - 40, 13).forEach((line, k) => picture.append(svg("text", { class: "sc-muted", x: box.left + box.width / 2, y: box.top + box.height / 2 + 17 * k, "text-anchor": "middle", style: { "font-size": "13px" } }, line)));
        return;
      }
      let own;
      if (part.kind.free) own = part.kind.draw(part, box, context);
      else {
        const bar = s.kind === "heatmap" && !oneBar ? barRoom(part) : 0;
        part.aside = (label) => SC.wrap(SC.formula(label), 92, 11);
        const aside = Math.max(0, ...(s.hlines || []).filter((m) => m.label).flatMap((m) => part.aside(m.label)).map((t) => SC.measure(t, 11) + 8));
        const axis = (key) => {
          const e = ends[i][key], limit = s[`${key}lim`], flip = s.horizontal && s.kind === "bars";
          const domain = e.domain && limit ? e.domain.map((v, k) => limit[k] ?? v) : e.domain, source = flip ? { x: "y", y: "x" }[key] : key;
          let fallback = s[source];
          if (key === "y" && s.kind === "histogram") fallback = s.density ? "share of values per unit" : "count";
          if (key === "y" && s.kind === "density") fallback = "density";
          const hide = sharedAxes && ((key === "x" && !bottom) || (key === "y" && !left));
          return { ...e, domain, names: e.names && e.names.map((v) => safe(v, s.kind === "heatmap" ? 28 : 60)), log: s[`${key}scale`] === "log", ticks: s[`${key}ticks`], label: hide ? null : SC.formula(s[`${key}label`] ?? safe(fallback)),
            whole: !e.names && part.whole.types[s[source]] === "int" && s.kind !== "histogram" && s.kind !== "bars" && key === "x", grid: !e.names };
        };
        const equal = s.circle ? "box" : s.aspect === "equal" ? (s.xlim || facet ? "box" : "data") : null;
        const f = view.frame(picture, { ...box, width: box.width - bar }, { x: axis("x"), y: axis("y"), title: part.title, bare: ends[i].bare, equal, right: Math.max(10, aside) });
        const before = f.g.childNodes.length;
        // What lies beyond given limits is cut off, as in the static picture.
        const id = `sc-clip-${++patterns}`;
        if ((s.xlim || s.ylim) && s.kind !== "bars") {
          picture.append(svg("defs", {}, svg("clipPath", { id }, svg("rect", { x: f.left - 6, y: f.top - 6, width: f.width + 12, height: f.height + 12 }))));
          const inner = svg("g", { "clip-path": `url(#${id})` });
          f.g.append(inner);
          own = part.kind.draw(part, { ...f, g: inner }, { ...context, labels });
          own = own.filter((m) => m.x >= f.left - 6 && m.x <= f.right + 6 && m.y >= f.top - 6 && m.y <= f.bottom + 6);
        } else own = part.kind.draw(part, f, context);
        furniture(part, f, view);
        if (bar) colourBar(view, picture, f.right + 12, f.top, f.height, part);
        part.frame = f;
      }
      own.forEach((m) => { m.group = `${i}:${m.group}`; if (parts.length > 1 && part.title) m.lines = [safe(part.title), ...m.lines.filter((l) => l !== safe(part.title))]; });
      marks.push(...own);
      const lost = part.table.length - part.clean.length;
      part.lost = lost;
      if (s.jitter && !s.count) remarks.push(`dots moved at random by up to ${s.jitter} to part them`);
      if (s.count) remarks.push(`area of a dot: rows there, up to ${part.sizes[1]}`);
      if (s.mark) remarks.push(`framed: ${safe(s.mark)}`);
    });
    if (oneBar) { const frames = heats.map((p) => p.frame), top = frames[0].top; colourBar(view, picture, width - shared + 6, top, Math.min(frames.at(-1).bottom - top, 420), heats[0]); }
    placeLabels(labels, ways);
    const lost = parts.reduce((a, p) => a + (p.lost || 0), 0), total = parts.reduce((a, p) => a + p.table.length, 0);
    if (lost) remarks.push(`${lost} of ${total} ${total === 1 ? "row" : "rows"} without a finite number: not drawn`);
    for (const remark of new Set(remarks)) view.root.append(view.html("p", { class: "sc-note" }, remark));
    view.read(picture, marks);
    view.memory.parts = parts;
  }

  function describe(view) {
    const parts = (view.memory.parts || []).filter((p) => p.clean.length), hidden = new Set(view.state.hidden || []), out = [];
    for (const c of view.controls) if (c.type !== "play") out.push(`${SC.formula(c.label || c.name)}: ${safe(view.state[c.name])}.`);
    for (const part of parts.slice(0, 4)) {
      const told = part.kind.tell(part, hidden).slice(0, 6);
      out.push(...(parts.length > 1 && part.title && told.length ? [`${safe(part.title)}:`] : []), ...told);
    }
    if (parts.length > 4) out.push(`And ${parts.length - 4} more pictures.`);
    if (hidden.size) out.push(`Hidden: ${[...hidden].map((k) => safe(k)).join(", ")}.`);
    return out.join(" ") || "Nothing is shown.";
  }

  for (const kind of [...Object.keys(KIND), "panels"]) SC.kinds[kind] = { draw, describe };
})();
