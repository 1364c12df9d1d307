/* Living figures: the core. Plain script, no modules: pages open from file://, where a browser
   refuses modules and fetch. Python joins core.js, kinds.js, the other scripts of this folder and
   explorers/*.js to one script with one global, SC (synthlib/viz/script.py).

   THE CONTRACT

   SC.explorers.NAME = {state, draw, describe}   a figure with logic of its own; its spec says
       {"kind": "explorer", "explorer": "NAME", "controls": […], "options": {…}, "static": SPEC}.
   SC.kinds.NAME                                  how kinds.js draws the kinds of spec.py.

       state     object, or function(view) -> object: what the state holds at the start beside
                 the controls' values (JSON only: Python reads and writes it). Optional.
       draw(view)      fills view.root, which is empty, from view.tables and view.state. It is called
                 at the start and after each change of state, width or mode, at most once a
                 frame, and has 50 ms. What it throws is said in the figure's place.
       describe(view)  one or two sentences that say what the figure shows now, made from the
                 data: the text alternative after a change. draw may call view.say(text) instead.

   view
       root      the element to fill;   memory   an object of yours that outlives a redraw
       tables    {name: Table}, with the rows that the controls' columns leave;   all   the same, whole
       table(name)   one of them (the first without a name)
       options   of the spec;   spec, alt, caption, label
       state     {name: value} of controls and of your own
       set(changes)  merges into state, redraws, tells Python;   redraw()   draws again
       width     pixels of root;   narrow   width < 520;   dark, reduced (motion)
       colours   {token: "var(--sc-token)"} for attributes;   hex   {token: "#rrggbb"} of this mode.
                 Tokens: blue orange green purple sky gold grey ink muted grid ground.
       series(table, column, {order, colors}) -> Map value -> {colour, token, marker, dashes}
       heat(value, low, high, {diverging}) -> {fill, ink} colours of a cell
       say(text)     the text alternative from now on; after a change a live region speaks it
       tip(x, y, lines) / tip()   shows a tooltip at a place of the last picture; hides it
       picture(height, {width}) -> <svg> in root, the figure's one tab stop (when it is read)
       frame(svg, box, {x, y, title}) -> {x, y, g, back, left, top, width, height}: axes; see `frame`
       mark(frame or g, token-or-colour, marker, x, y, radius)   one data point as its series looks
       legend(entries, {name})    buttons that switch series on and off in state[name or "hidden"]
       read(svg, marks, {pick})   reading by pointer, touch and arrow keys; see `read`
       drag(element, {start, move(x, y), end, key(dx, dy), label})   dragging that outlives redraws
       svg(tag, attributes, …children), html(tag, …)   elements. Children that are strings become
                 text nodes, never markup; {on: {click: f}} adds listeners; {key: "name"} lets an
                 element keep the focus across redraws. Words from models are safe here and only here.

   Table     columns, types {column: "int" | "float" | "text" | "bool" | "list"}, length;
             col(name) -> array; rows -> array of objects; unique(name); where(name, value);
             filter(row => …); has(name). A missing or infinite number is null.

   controls  [{"name", "type": "range" | "choice" | "toggle" | "play", "label", …}], made by the core
             above root. range: min, max, step, or values (a list) or column (its sorted values);
             choice: options (values or [value, label]) or column; play: "of" a range, "seconds" a
             run; value: at the start; format: ".2f". A control with a column leaves only the rows
             of that value, in each table that has the column; a range with upto, those up to it.

   Helpers   SC.scale(domain, range, {log}), SC.ticks(low, high, count), SC.format(value, ".2f"),
             SC.number(value), SC.text(value), SC.extent(values, share), SC.measure(text, size),
             SC.wrap(text, pixels, size), SC.load(file) (a classic script beside this one; resolves
             with what it gives to SC.provide(file, value)), SC.random(seed).
   SC.mount(element, payload, {state, onstate}) -> {view, set(state), remove()}.               */
"use strict";

var SC = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const SC = { explorers: {}, kinds: {}, version: 1 };

  // ------------------------------------------------------------------ text and numbers
  const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;
  /** Text of a value as it may stand in a picture: one line, no control characters, not endless. */
  SC.text = (value, limit = 400) => {
    let text = typeof value === "number" ? SC.number(value) : String(value ?? "–");
    text = text.replace(CONTROL, " ").replace(/\s+/g, " ").trim();
    return text.length <= limit ? text : text.slice(0, limit - 1).trimEnd() + "…";
  };

  /** A number for reading: four significant digits, a real minus. */
  SC.number = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value).replace("-", "−");
    const size = Math.abs(value);
    const text = size >= 1e6 || size < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
    return text.replaceAll("-", "−");
  };

  /** Python's format of a number for the forms that figures use: ".2f", "+.1f", ",d", ".0%", "g". */
  SC.format = (value, form) => {
    if (!form) return SC.number(value);
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const [, plus, comma, digits, kind] = /^(\+?)(,?)(?:\.(\d+))?([dfeg%]?)$/.exec(form) || [];
    if (kind === undefined) return SC.number(value);
    const n = digits === undefined ? (kind === "d" ? 0 : 6) : Number(digits);
    let text = kind === "%" ? (value * 100).toFixed(n) + "%"
      : kind === "e" ? value.toExponential(n)
      : kind === "g" || !kind ? String(Number(value.toPrecision(Math.max(n, 1))))
      : value.toFixed(n);
    if (/^-0(\.0+)?%?$/.test(text)) text = text.slice(1);
    if (comma) text = text.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
    return ((plus && value >= 0 ? "+" : "") + text).replaceAll("-", "−");
  };

  let ruler = null;
  /** Width of a text in pixels, in the figures' own letters. */
  SC.measure = (text, size = 12, weight = 400) => {
    ruler = ruler || document.createElement("canvas").getContext("2d");
    ruler.font = `${weight} ${size}px ${SC.FONT}`;
    return ruler.measureText(text).width;
  };
  SC.FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif';

  /** Lines of a text that are no longer than so many pixels; a word is never cut. */
  SC.wrap = (text, pixels, size = 12, weight = 400) => {
    const lines = [];
    for (const word of SC.text(text).replace(/(\d) %/g, "$1\u00a0%").split(" ")) { // a number keeps its unit
      const longer = lines.length ? lines.at(-1) + " " + word : word;
      if (lines.length && SC.measure(longer, size, weight) <= pixels) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  };

  const GREEK = { alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", lambda: "λ", mu: "μ",
    omega: "ω", phi: "φ", pi: "π", rho: "ρ", sigma: "σ", tau: "τ", theta: "θ", cdot: "·", times: "×",
    leq: "≤", geq: "≥", le: "≤", ge: "≥", approx: "≈", pm: "±", ell: "ℓ", rightarrow: "→", to: "→" };
  /** The letters of a short formula of an axis label: "$\\tau$" -> "τ". */
  SC.formula = (text) => String(text ?? "").replace(/\\\$/g, "\u0001").replace(/\$([^$]*)\$/g, (_, body) =>
    body.replace(/\\(?:mathrm|text|mathbf|operatorname)\{([^}]*)\}/g, "$1")
      .replace(/\\hat\{?\\?(\w+)\}?/g, (__, x) => (GREEK[x] || x) + "\u0302")
      .replace(/\\([a-zA-Z]+)/g, (__, name) => GREEK[name] || name)
      .replace(/_\{?([0-9]+)\}?/g, (__, d) => [...d].map((c) => "₀₁₂₃₄₅₆₇₈₉"[c]).join(""))
      .replace(/\^\{?\+\}?/g, "⁺").replace(/\^\{?-\}?/g, "⁻").replace(/\^\{?2\}?/g, "²")
      .replace(/\\[,;! ]/g, " ").replace(/[{}]/g, "")).replace(/\u0001/g, "$");

  /** Smallest and largest finite value, with a margin of a share of their distance. */
  SC.extent = (values, share = 0) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
    if (low > high) return [0, 1];
    const reach = (high - low) * share || (low === high ? Math.abs(low) * 0.05 || 0.5 : 0);
    return [low - reach, high + reach];
  };

  /** A generator of uniform numbers in [0, 1) that a seed fixes (mulberry32). */
  SC.random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  // ------------------------------------------------------------------ words of another language
  const PLACE = /“[^”]*”|(^|[^A-Za-z\d])([−+-]?\d+(?:,\d{3})*(?:\.\d+)?)/g; // as in synthlib/viz/words
  let words = null; // of the figure that is being drawn; null: English
  /** A text in the figure's language, numbers and quotations in their places; as it is where there are no words. */
  SC.say = (text) => {
    if (!words || typeof text !== "string" || !/[A-Za-z]{2}/.test(text)) return text;
    const core = text.replace(/\s+/g, " ").trim(), found = [];
    const key = core.replace(PLACE, (whole, before, value) => {
      const inner = whole.slice(1, -1); // of a quotation, as of a control's label: it may have words of its own
      found.push(value !== undefined ? value : `“${SC.say(inner)}”`);
      return `${value === undefined ? "" : before}{${found.length - 1}}`;
    });
    if (!Object.hasOwn(words, key)) return text;
    const said = words[key].replace(/\{(\d+)\}/g, (_, i) => found[i]);
    return (/^\s/.test(text) ? " " : "") + said + (/\s$/.test(text) ? " " : "");
  };

  const MARKS = [". ", "; ", ": ", ", "];
  /** A text that is read aloud, in the figure's language. It is made from the data, so that its words stand sentence by
      sentence and part by part: what has words as a whole is said so, else the parts between these marks are, a quotation whole. */
  SC.aloud = (text, level = 0) => {
    if (!words || typeof text !== "string") return text;
    const whole = SC.say(text), dotted = whole === text && !/[.:!?]$/.test(text) ? SC.say(`${text}.`) : `${text}.`;
    if (whole !== text) return whole;
    if (dotted !== `${text}.`) return dotted.replace(/\.$/, "");
    if (level === MARKS.length) return text;
    const parts = [""];
    for (const bit of text.match(/“[^”]*”|[.;:,] |[^]/g) || []) {
      if (bit === MARKS[level]) parts.push("");
      else parts[parts.length - 1] += bit;
    }
    if (parts.length === 1 && level < MARKS.length - 1) return SC.aloud(text, level + 1);
    const last = /[^.]\.$/.test(text) && parts.length > 1; // the last full stop is the sentence's, and no part's
    if (last) parts[parts.length - 1] = parts.at(-1).slice(0, -1);
    return parts.map((part) => SC.aloud(part, level + 1)).join(MARKS[level]) + (last ? "." : "");
  };

  // ------------------------------------------------------------------ elements
  function build(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
      else if (name === "key") node.dataset.key = value;
      else if (name === "style" && typeof value === "object") {
        for (const [property, v] of Object.entries(value)) node.style.setProperty(property, v);
      } else if (/^on|^srcdoc$/i.test(name) || (/^(xlink:)?href$|^src$|action$/i.test(name) && !/^#/.test(value)))
        throw new Error(`an element of a figure may not have ${name}=${value}`);
      else node.setAttribute(name, value === true ? "" : name === "aria-label" ? SC.say(value) : value);
    }
    for (const child of children.flat(Infinity))
      if (child !== null && child !== undefined && child !== false)
        node.append(child instanceof Node ? child : SC.say(String(child).replace(CONTROL, " ")));
    return node;
  }
  const tag = (name) => {
    if (/^(script|iframe|object|embed|foreignObject|link|style|use|img|image)$/i.test(name))
      throw new Error(`a figure makes no <${name}>`);
    return name;
  };
  SC.svg = (name, attributes, ...children) => build(document.createElementNS(NS, tag(name)), attributes, children);
  SC.html = (name, attributes, ...children) => build(document.createElement(tag(name)), attributes, children);
  const { svg, html } = SC;

  // ------------------------------------------------------------------ tables
  class Table {
    constructor(name, raw, data, length) {
      this.name = name; this.raw = raw; this.columns = raw.columns; this.types = raw.types || {};
      this.data = data; this.length = length; this._rows = null;
    }
    has(column) { return this.columns.includes(column); }
    col(column) {
      if (!this.has(column)) throw new Error(`table ${this.name} has no column ${column}; it has ${this.columns.join(", ")}`);
      return this.data[column];
    }
    get rows() {
      if (!this._rows) this._rows = Array.from({ length: this.length }, (_, i) =>
        Object.fromEntries(this.columns.map((c) => [c, this.data[c][i]])));
      return this._rows;
    }
    /** Values of a column once each: categories in their order, numbers sorted, others as they come. */
    unique(column) {
      const present = new Set(this.col(column).filter((v) => v !== null));
      const levels = (this.raw.levels || {})[column];
      if (levels) return levels.filter((v) => present.has(v));
      const values = [...present];
      return values.every((v) => typeof v === "number") ? values.sort((a, b) => a - b) : values;
    }
    pick(keep) {
      const data = Object.fromEntries(this.columns.map((c) => [c, keep.map((i) => this.data[c][i])]));
      return new Table(this.name, this.raw, data, keep.length);
    }
    filter(test) { return this.pick(this.rows.flatMap((row, i) => (test(row, i) ? [i] : []))); }
    where(column, value) { return this.pick(this.col(column).flatMap((v, i) => (v === value ? [i] : []))); }
    /** The text by which order and colors of a spec name a value, as Python writes it. */
    key(column, value) {
      if (value === null) return null;
      if (this.types[column] === "float" && Number.isInteger(value)) return value.toFixed(1);
      return typeof value === "boolean" ? (value ? "True" : "False") : String(value);
    }
  }
  SC.table = (name, raw) => {
    const columns = raw && raw.columns, lengths = (raw && raw.data || []).map((c) => c.length);
    if (!Array.isArray(columns) || columns.length !== lengths.length || new Set(lengths).size > 1)
      throw new Error(`the table ${name} is damaged: its columns are not equally long`);
    return new Table(name, raw, Object.fromEntries(columns.map((c, i) => [c, raw.data[i]])), lengths[0] || 0);
  };

  // ------------------------------------------------------------------ scales
  /** Round numbers between low and high, about so many. */
  SC.ticks = (low, high, count = 6, whole = false) => {
    if (!(high > low)) return [low];
    const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
    const step = (whole ? [1, 2, 5, 10, 20, 50] : [1, 2, 2.5, 5, 10]).map((m) => m * power)
      .find((s) => (high - low) / s <= count + (whole ? 0.99 : 1e-9) && (!whole || (s >= 1 && Number.isInteger(s)))) || 10 * power;
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
    return out;
  };
  const logTicks = (low, high) => {
    const out = [], few = Math.log10(high / low) < 2.2;
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
      for (const m of few ? [1, 2, 5] : [1]) {
        const v = Number((m * 10 ** p).toPrecision(12));
        if (v >= low * 0.9999 && v <= high * 1.0001) out.push(v);
      }
    return out;
  };
  /** Function from domain to range, with .invert, .domain, .range, .ticks(count). */
  SC.scale = (domain, range, { log = false } = {}) => {
    const f = log ? Math.log : (v) => v, back = log ? Math.exp : (v) => v;
    const [a, b] = domain.map(f), [p, q] = range;
    const scale = (v) => p + ((f(v) - a) / (b - a || 1)) * (q - p);
    scale.invert = (u) => back(a + ((u - p) / (q - p || 1)) * (b - a));
    Object.assign(scale, { domain, range, log, ticks: (count, whole) => (log ? logTicks(...domain) : SC.ticks(...domain, count, whole)) });
    return scale;
  };

  // ------------------------------------------------------------------ marks
  const MARKERS = {
    o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
    s: (r) => `M${-r * 0.9},${-r * 0.9}h${r * 1.8}v${r * 1.8}h${-r * 1.8}z`,
    "^": (r) => `M0,${-r * 1.1}L${r},${r * 0.85}H${-r}z`,
    D: (r) => `M0,${-r * 1.2}L${r * 1.2},0L0,${r * 1.2}L${-r * 1.2},0z`,
    v: (r) => `M0,${r * 1.1}L${r},${-r * 0.85}H${-r}z`,
    P: (r) => { const a = r * 0.4, b = r * 1.1; return `M${-a},${-b}H${a}V${-a}H${b}V${a}H${a}V${b}H${-a}V${a}H${-b}V${-a}H${-a}z`; },
    X: (r) => { const a = r * 1.1, c = r * 0.5; return `M${-a},${c - a}L${c - a},${-a}L0,${-c}L${a - c},${-a}L${a},${c - a}L${c},0L${a},${a - c}L${a - c},${a}L0,${c}L${c - a},${a}L${-a},${a - c}L${-c},0z`; },
  };
  /** Path of one marker around the origin; r in pixels. */
  SC.marker = (name, r) => (MARKERS[name] || MARKERS.o)(r);

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (colours, share) => {
    const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1), i = Math.min(Math.floor(at), colours.length - 2);
    const [a, b] = [rgb(colours[i]), rgb(colours[i + 1])];
    return "#" + a.map((v, k) => Math.round(v + (b[k] - v) * (at - i)).toString(16).padStart(2, "0")).join("");
  };
  /** Black or white, whichever is read more easily on a colour. */
  SC.inkOn = (hex) => {
    const [r, g, b] = rgb(hex).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000000" : "#ffffff";
  };

  // ------------------------------------------------------------------ mode
  const quiet = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  /** Whether the page around is dark: the book, JupyterLab, Colab, VS Code, else the system. */
  SC.dark = () => {
    const root = document.documentElement, body = document.body;
    if (root.dataset.theme) return root.dataset.theme === "dark";
    if (body && body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
    if (root.hasAttribute("theme")) return root.getAttribute("theme") === "dark";
    if (body && /vscode-/.test(body.className)) return /vscode-(dark|high-contrast)(?!-light)/.test(body.className);
    return root.dataset.scPage !== undefined && matchMedia("(prefers-color-scheme: dark)").matches;
  };

  // ------------------------------------------------------------------ controls
  const equal = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
  function prepared(control, tables) {
    const c = { ...control };
    if (c.column) {
      const holder = Object.values(tables).find((t) => t.has(c.column));
      if (!holder) throw new Error(`no table has the column ${c.column} of the control ${c.name}`);
      const values = holder.unique(c.column);
      if (c.type === "choice") c.options = c.options || values;
      else c.values = c.values || values;
    }
    if (c.type === "choice") c.options = (c.options || []).map((o) => (Array.isArray(o) ? o : [o, SC.text(o, 60)]));
    const first = { range: () => (c.values ? c.values[0] : c.min), choice: () => c.options[0] && c.options[0][0], toggle: () => false, play: () => false };
    if (c.value === undefined || c.value === null) c.value = first[c.type]();
    return c;
  }
  let serial = 0;
  function makeControl(c, view) {
    const id = `sc-control-${++serial}`, label = SC.formula(c.label || c.name);
    const shown = (value) => (typeof value === "number" ? SC.format(value, c.format) : SC.text(value, 40));
    if (c.type === "toggle") {
      const box = html("input", { type: "checkbox", id, on: { change: () => view.set({ [c.name]: box.checked }) } });
      return { node: html("label", { class: "sc-control sc-toggle", for: id }, box, html("span", {}, label)), show: (v) => { box.checked = Boolean(v); } };
    }
    if (c.type === "choice" && c.options.length <= 5 && c.options.every(([, name]) => name.length <= 18)) {
      const inputs = c.options.map(([value], i) => html("input", { type: "radio", name: id, id: `${id}-${i}`, on: { change: () => view.set({ [c.name]: value }) } }));
      const node = html("fieldset", { class: "sc-control sc-choice" }, html("legend", {}, label),
        html("span", { class: "sc-options" }, inputs.map((input, i) => html("label", { for: `${id}-${i}` }, input, html("span", {}, SC.formula(c.options[i][1]))))));
      return { node, show: (v) => inputs.forEach((input, i) => { input.checked = equal(c.options[i][0], v); }) };
    }
    if (c.type === "choice") {
      const select = html("select", { id, on: { change: () => view.set({ [c.name]: c.options[select.selectedIndex][0] }) } },
        c.options.map(([, name]) => html("option", {}, SC.formula(name))));
      return { node: html("div", { class: "sc-control" }, html("label", { for: id }, label), select), show: (v) => { select.selectedIndex = c.options.findIndex(([o]) => equal(o, v)); } };
    }
    if (c.type === "range") {
      const listed = c.values;
      const out = html("output", { for: id });
      const input = html("input", { type: "range", id, min: listed ? 0 : c.min, max: listed ? listed.length - 1 : c.max, step: listed ? 1 : (c.step || "any"),
        on: { input: () => view.set({ [c.name]: listed ? listed[Number(input.value)] : Number(input.value) }) } });
      const widest = listed ? Math.max(...listed.map((v) => shown(v).length)) : Math.max(shown(c.min).length, shown(c.max).length, shown(c.min + (c.step || 0)).length);
      out.style.minWidth = `${widest + 1}ch`;
      return { node: html("div", { class: "sc-control sc-range" }, html("label", { for: id }, label), input, out),
        show: (v) => {
          input.value = listed ? listed.findIndex((o) => equal(o, v)) : v;
          out.textContent = shown(v); input.setAttribute("aria-valuetext", shown(v));
        } };
    }
    const button = html("button", { type: "button", class: "sc-play", on: { click: () => view.set({ [c.name]: !view.state[c.name] }) } });
    return { node: html("div", { class: "sc-control" }, button), play: c,
      show: (v) => { button.textContent = v ? `❚❚ ${SC.say("Pause")}` : `▶ ${label}`; button.setAttribute("aria-pressed", v ? "true" : "false"); } };
  }

  /** The controls' elements; three sliders and more in a row of their own, equally wide. */
  function inRows(parts) {
    const out = [];
    for (let i = 0, j; i < parts.length; i = j) {
      for (j = i + 1; parts[i].control.type === "range" && j < parts.length && parts[j].control.type === "range";) j++;
      const nodes = parts.slice(i, j).map((p) => p.node);
      out.push(...(nodes.length > 2 ? [html("div", { class: "sc-ranges" }, nodes)] : nodes));
    }
    return out;
  }

  // ------------------------------------------------------------------ axes
  /** Axes in a box of a picture.

      box: {left, top, width, height} of all that belongs to them, labels included.
      x, y: {domain, log, label, ticks (values), format (function or form), whole, names (instead of a domain:
      one place a name), grid (default true for numbers), hide (no labels)}.
      Returns {x, y} scales (with names: index -> middle; `.step` the room of one), g (clipped to nothing: draw
      here), back (behind the data), and the inner left, top, width, height, bottom, right. */
  function frame(view, root, box, o) {
    const size = 12, small = 11.5, X = o.x, Y = o.y;
    // Ticks of one axis have equally many decimals.
    const name = (axis, v, all = []) => {
      if (axis.format) return typeof axis.format === "function" ? axis.format(v) : SC.format(v, axis.format);
      const texts = all.map((t) => SC.number(t)), digits = Math.max(0, ...texts.map((t) => (t.split(".")[1] || "").length));
      return axis.log || axis.ticks || texts.some((t) => t.includes("e")) ? SC.number(v) : SC.format(v, `.${digits}f`);
    };
    let top = box.top + 6, head = [];
    if (o.title) { head = SC.wrap(SC.formula(o.title), box.width - 4, 13, 700); top += head.length * 17 + 2; }
    const yNames = Y.names && Y.names.map((n) => SC.wrap(SC.formula(n), o.nameWidth || (view.narrow ? 96 : 150), small));
    // Two ticks are too few to read a scale by: finer ones, where their numbers have room.
    const ticksOf = (axis, scale, count, fits) => {
      for (let more = 0; !axis.log && more < 4; more++) {
        const all = scale.ticks(count + more, axis.whole);
        if (all.length > 2) { if (!more || fits(all)) return all; break; }
      }
      return scale.ticks(count, axis.whole);
    };
    const across = (scale, pixels) => ticksOf(X, scale, Math.max(3, Math.round(pixels / 80)),
      (all) => all.length * (Math.max(...all.map((t) => SC.measure(name(X, t, all), small))) + 12) <= pixels);
    const upwards = (scale, pixels) => ticksOf(Y, scale, Math.max(3, Math.round(pixels / 44)), (all) => all.length * 22 <= pixels);
    const rough = SC.scale(Y.domain || [0, 1], [1, 0], Y);
    const yTicks = Y.names ? [] : Y.ticks || upwards(rough, box.height - 50);
    const yWide = Y.hide ? 0 : Math.max(0, ...(Y.names ? yNames.flat() : yTicks.map((t) => name(Y, t, yTicks))).map((t) => SC.measure(t, small)));
    const yLabel = Y.label && !Y.hide ? SC.wrap(SC.formula(Y.label), Math.max(60, box.height - 60), size) : [];
    let left = box.left + yLabel.length * 15 + (yLabel.length ? 9 : 0) + yWide + (Y.hide ? 2 : 8);
    let right = box.left + box.width - (o.right ?? 10);
    // The bottom: names are wrapped, or turned where they have no room.
    const room = X.names ? (right - left) / Math.max(X.names.length, 1) : 0;
    let turned = false, xNames = [], thin = 1;
    const numbers = X.names && X.names.every((n) => /^[−+-]?[\d.]{1,6}%?$/.test(String(n)));
    if (numbers) { // numbers are left out rather than turned
      xNames = X.names.map((n) => [SC.text(n)]);
      thin = Math.max(1, Math.ceil((Math.max(0, ...xNames.map(([n]) => SC.measure(n, small))) + 7) / Math.max(room, 1)));
    } else if (X.names) {
      xNames = X.names.map((n) => SC.wrap(SC.formula(n), Math.max(room - 6, 20), small));
      turned = xNames.flat().some((line) => SC.measure(line, small) > room - 2) || xNames.some((lines) => lines.length > 4);
      if (turned) xNames = X.names.map((n) => [SC.text(SC.formula(n), 22)]);
    }
    if (!X.names && !X.hide) { // the last number is centred on its tick: half of it needs room
      const ends = X.ticks || across(SC.scale(X.domain || [0, 1], [left, right], X), right - left);
      const high = (X.domain || [0, 1])[1], last = ends.filter((t) => t <= high).at(-1);
      if (last !== undefined) {
        const half = SC.measure(name(X, last, ends), small) / 2, at = SC.scale(X.domain || [0, 1], [left, right], X)(last);
        right -= Math.max(0, at + half + 1 - (box.left + box.width));
      }
    }
    const longest = Math.max(0, ...xNames.flat().map((t) => SC.measure(t, small)));
    const under = X.hide ? 6 : X.names ? (turned ? longest * 0.64 + 14 : Math.max(1, ...xNames.map((l) => l.length)) * 14 + 6) : 20;
    if (turned && xNames.length) left = Math.max(left, box.left + SC.measure(xNames[0][0], small) * 0.77 - room / 2 + 4);
    const xLabel = X.label && !X.hide ? SC.wrap(SC.formula(X.label), right - left, size) : [];
    let bottom = box.top + box.height - under - xLabel.length * 15 - (xLabel.length ? 4 : 0);
    if (bottom - top < 30) bottom = top + 30;
    let [xd, yd] = [X.domain || [0, 1], Y.domain || [0, 1]];
    if (o.equal) { // one unit is as long across as it is up: shrink the box, or widen the domain
      const unit = Math.min((right - left) / (xd[1] - xd[0]), (bottom - top) / (yd[1] - yd[0]));
      if (o.equal === "box") {
        const [w, h] = [unit * (xd[1] - xd[0]), unit * (yd[1] - yd[0])];
        left += (right - left - w) / 2; right = left + w; top += (bottom - top - h) / 2; bottom = top + h;
      } else {
        const grow = (d, pixels) => { const more = (pixels / unit - (d[1] - d[0])) / 2; return [d[0] - more, d[1] + more]; };
        xd = grow(xd, right - left); yd = grow(yd, bottom - top);
      }
    }
    const width = right - left, height = bottom - top;
    const band = (count, from, to) => {
      const step = (to - from) / Math.max(count, 1), scale = (i) => from + (i + 0.5) * step;
      return Object.assign(scale, { step: Math.abs(step), invert: (u) => Math.floor((u - from) / step), domain: [0, count], range: [from, to] });
    };
    const x = X.names ? band(X.names.length, left, right) : SC.scale(xd, [left, right], X);
    const y = Y.names ? band(Y.names.length, top, bottom) : SC.scale(yd, [bottom, top], Y);
    const axes = svg("g", { class: "sc-axes" }), back = svg("g"), g = svg("g");
    head.forEach((line, i) => axes.append(svg("text", { class: "sc-title", x: box.left + 2, y: box.top + 15 + 17 * i }, line)));
    const lines = (at, px, py, gap, attributes) => svg("text", { x: px, y: py, ...attributes },
      at.map((line, i) => svg("tspan", { x: px, dy: i ? gap : 0 }, line)));
    const xTicks = X.names ? [] : X.ticks || across(x, width);
    const inside = (scale, v) => { const u = scale(v), [a, b] = scale.range; return u >= Math.min(a, b) - 0.5 && u <= Math.max(a, b) + 0.5; };
    for (const t of xTicks.filter((v) => inside(x, v))) {
      if (X.grid !== false) axes.append(svg("line", { class: "sc-grid", x1: x(t), x2: x(t), y1: top, y2: bottom }));
      if (!X.hide) axes.append(svg("text", { x: x(t), y: bottom + 16, "text-anchor": "middle" }, name(X, t, xTicks)));
    }
    const upTicks = Y.names ? [] : Y.ticks || upwards(y, height);
    for (const t of upTicks.filter((v) => inside(y, v))) {
      if (Y.grid !== false) axes.append(svg("line", { class: "sc-grid", x1: left, x2: right, y1: y(t), y2: y(t) }));
      if (!Y.hide) axes.append(svg("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, name(Y, t, upTicks)));
    }
    const every = (axis, count, least) => Math.max(1, Math.ceil((count * least) / axis));
    if (X.names && !X.hide) {
      const skip = turned ? every(width, X.names.length, 15) : thin;
      xNames.forEach((words, i) => i % skip === 0 && axes.append(turned
        ? svg("text", { "text-anchor": "end", transform: `translate(${x(i) + 4},${bottom + 12}) rotate(-40)` }, words[0])
        : lines(words, x(i), bottom + 16, 14, { "text-anchor": "middle" })));
    }
    if (Y.names && !Y.hide) {
      const skip = every(height, Y.names.length, 13);
      yNames.forEach((words, i) => i % skip === 0 && axes.append(lines(words, left - 6, y(i) + 4 - (words.length - 1) * 7, 14, { "text-anchor": "end" })));
    }
    if (!o.bare) {
      axes.append(svg("line", { class: "sc-axis", x1: left, x2: right, y1: bottom, y2: bottom }));
      axes.append(svg("line", { class: "sc-axis", x1: left, x2: left, y1: top, y2: bottom }));
    }
    if (xLabel.length) axes.append(lines(xLabel, (left + right) / 2, bottom + under + 14, 15, { class: "sc-label", "text-anchor": "middle" }));
    if (yLabel.length) yLabel.forEach((line, i) => axes.append(svg("text", { class: "sc-label", "text-anchor": "middle",
      transform: `translate(${box.left + 12 + 15 * i},${(top + bottom) / 2}) rotate(-90)` }, line)));
    root.append(axes, back, g);
    return { x, y, g, back, axes, left, top, right, bottom, width, height, box };
  }

  // ------------------------------------------------------------------ reading
  /** Reading of values. marks: [{x, y (pixels of the picture), lines: ["text" or [name, value]], group, say, pick,
      box: [left, top, width, height] (for areas)}], in the order in which arrow keys walk them; `group` is a series
      or a row of cells. The pointer reads the nearest mark, arrow keys walk (left and right within a group, up and
      down to the next group at the nearest place), Escape leaves, Enter or a click calls `pick(mark)`. */
  function read(view, picture, marks, { pick, reach = 48 } = {}) {
    const plot = picture.parentNode;
    if (!plot || !marks.length) return;
    plot.setAttribute("tabindex", "0");
    plot.dataset.key = plot.dataset.key || "plot";
    const memory = view.memory, ring = svg("g", { class: "sc-ring", "aria-hidden": "true" });
    picture.append(ring);
    const groups = [...new Set(marks.map((m) => m.group))];
    const members = new Map(groups.map((g) => [g, marks.filter((m) => m.group === g)]));
    let current = null;
    const said = (m) => (m.say ? SC.aloud(m.say) : m.lines.map((l) => (Array.isArray(l) ? l.map((one) => SC.aloud(SC.text(one))).join(" ") : SC.aloud(l))).join("; "));
    const show = (m, aloud) => {
      current = m; ring.replaceChildren();
      if (!m) { view.tip(); return; }
      ring.append(m.box ? svg("rect", { x: m.box[0], y: m.box[1], width: m.box[2], height: m.box[3] })
        : svg("circle", { cx: m.x, cy: m.y, r: (m.r || 5) + 3 }));
      view.tip(m.x, m.box ? m.box[1] : m.y, m.lines);
      if (aloud) view.speak(said(m));
    };
    const near = (px, py) => {
      let best = null, least = Infinity;
      for (const m of marks) {
        if (m.box) {
          const [l, t, w, h] = m.box;
          if (px >= l && px <= l + w && py >= t && py <= t + h) return m;
        }
        const d = (m.x - px) ** 2 + (m.y - py) ** 2;
        if (d < least && (!m.box || m.near)) { least = d; best = m; }
      }
      return best && least <= reach ** 2 ? best : null;
    };
    const place = (event) => { const r = picture.getBoundingClientRect(), k = view.scale(); return [(event.clientX - r.left) / k, (event.clientY - r.top) / k]; };
    const choose = (m) => { if (m && (m.pick || pick)) (m.pick || pick)(m); };
    plot.addEventListener("pointermove", (e) => { if (!view.dragging) { const m = near(...place(e)); if (m !== current) show(m, false); } });
    plot.addEventListener("pointerdown", (e) => { if (!view.dragging) { const m = near(...place(e)); show(m, e.pointerType !== "mouse"); } });
    plot.addEventListener("pointerleave", (e) => { if (e.pointerType === "mouse") show(null); });
    plot.addEventListener("click", (e) => { const m = near(...place(e)); if (m && !e.defaultPrevented) choose(m); });
    plot.addEventListener("blur", () => { if (view.root.contains(plot)) { memory.at = undefined; show(null); } });
    plot.addEventListener("keydown", (e) => {
      if (e.target !== plot || e.altKey || e.ctrlKey || e.metaKey) return;
      if (e.key === "Escape") { memory.at = undefined; show(null); return; }
      if ((e.key === "Enter" || e.key === " ") && current) { e.preventDefault(); choose(current); return; }
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-1e9, 0], End: [1e9, 0] }[e.key];
      if (!step) return;
      e.preventDefault();
      let next = marks[0];
      if (current) {
        const own = members.get(current.group);
        if (step[0]) next = own[Math.min(Math.max(own.indexOf(current) + step[0], 0), own.length - 1)];
        else {
          const there = members.get(groups[Math.min(Math.max(groups.indexOf(current.group) + step[1], 0), groups.length - 1)]);
          next = there.reduce((a, b) => (Math.abs(b.x - current.x) < Math.abs(a.x - current.x) ? b : a));
        }
      }
      memory.at = marks.indexOf(next);
      show(next, true);
    });
    // A redraw while the arrow keys read keeps the place.
    if (memory.at !== undefined && marks[memory.at] && view.focused === plot.dataset.key) queueMicrotask(() => show(marks[memory.at], false));
  }

  // ------------------------------------------------------------------ one figure
  SC.mount = (element, payload, { state: given, onstate } = {}) => {
    const spec = payload.spec || {}, own = payload.words || null;
    words = own;
    const shell = html("div", { class: "sc-living", role: "group", "aria-label": SC.text(payload.label || "figure") });
    const bar = html("div", { class: "sc-controls" }), root = html("div", { class: "sc-stage" });
    const tip = html("div", { class: "sc-tip", "aria-hidden": "true", hidden: true });
    const live = html("div", { class: "sc-says", role: "status", "aria-live": "polite" });
    shell.append(bar, root, tip, live);
    element.append(shell);
    let waiting = 0, speaking = 0, gone = false, changed = false, timer = null, controls = [], parts = [];
    const fail = (error) => {
      console.warn("figure", payload.label || "", error);
      shell.dataset.failed = "";
      bar.replaceChildren();
      root.replaceChildren(html("p", { class: "sc-error", role: "note" }, `This figure cannot be drawn: ${SC.text(error && error.message || error, 300)}.`));
      live.textContent = "";
    };
    const view = {
      root, spec, options: spec.options || {}, alt: payload.alt, caption: payload.caption, label: payload.label,
      state: {}, memory: {}, text: payload.alt, svg, html,
      get reduced() { return quiet(); },
      table(name) { const t = view.tables[name ?? Object.keys(view.tables)[0]]; if (!t) throw new Error(`there is no table ${name}`); return t; },
      set(changes) {
        const different = Object.entries(changes).some(([k, v]) => !equal(view.state[k], v));
        if (!different) return;
        Object.assign(view.state, JSON.parse(JSON.stringify(changes)));
        changed = true;
        showControls();
        view.redraw();
        if (onstate) onstate({ ...view.state });
      },
      redraw() { if (!waiting && !gone) waiting = requestAnimationFrame(() => { waiting = 0; view.flush(); }); },
      flush() { cancelAnimationFrame(waiting); waiting = 0; if (!gone) drawNow(); },
      say(text) {
        if (!changed) return; // at the start the figure's own alt says it
        view.text = SC.text(text, 1200) || view.alt;
        view.speak(view.text);
      },
      speak(text) { clearTimeout(speaking); speaking = setTimeout(() => { words = own; live.textContent = SC.aloud(SC.text(text, 1200)); }, 120); },
      /** How much larger than drawn the figure is shown, as on a slide: what a pointer's place is divided by. */
      scale() { return shell.getBoundingClientRect().width / shell.offsetWidth || 1; },
      tip(x, y, lines) {
        if (x === undefined || !lines || !lines.length) { tip.hidden = true; return; }
        words = own;
        tip.replaceChildren(...lines.map((line) => Array.isArray(line)
          ? html("div", {}, html("span", { class: "sc-name" }, SC.formula(SC.text(line[0], 200))), " ", html("b", {}, SC.text(line[1], 200)))
          : html("div", {}, SC.text(line, 400))));
        tip.hidden = false;
        const picture = view.last && view.last.isConnected ? view.last : root;
        const a = picture.getBoundingClientRect(), b = shell.getBoundingClientRect(), k = view.scale();
        const px = (a.left - b.left) / k + x, py = (a.top - b.top) / k + y, w = tip.offsetWidth, h = tip.offsetHeight;
        const toLeft = px + 14 + w > shell.clientWidth;
        tip.style.left = `${Math.max(0, Math.min(toLeft ? px - 14 - w : px + 14, shell.clientWidth - w))}px`;
        tip.style.top = `${Math.max(-h / 2, py - h - 8)}px`;
      },
      picture(height, { width = view.width, name } = {}) {
        const spoken = `${name ? SC.say(SC.text(name, 200)) + ". " : ""}`;
        const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
        const plots = root.querySelectorAll(".sc-plot").length;
        root.append(html("div", { class: "sc-plot", role: "application", "aria-roledescription": "figure", key: plots ? `plot-${plots}` : "plot",
          "data-name": spoken, "aria-label": `${spoken}${view.text}` }, picture));
        view.last = picture;
        return picture;
      },
      frame: (picture, box, options) => frame(view, picture, box, options),
      read: (picture, marks, options) => read(view, picture, marks, options),
      mark(target, colour, marker, x, y, r = 4, attributes = {}) {
        const fill = view.colours[colour] || colour;
        const node = svg("path", { d: SC.marker(marker, r), transform: `translate(${x},${y})`, class: "sc-mark", style: { fill }, ...attributes });
        (target.g || target).append(node);
        return node;
      },
      /** entries: [{value, label, token or colour, marker, dashes, kind: "line" | "dot" | "area"}]. */
      legend(entries, { name = "hidden", title, into = root } = {}) {
        const hidden = new Set(view.state[name] || []);
        const box = html("div", { class: "sc-legend", role: "toolbar", "aria-label": title || "Series: press to hide or show" }, title && html("span", { class: "sc-legend-title" }, SC.formula(title)));
        const start = Math.min(view.memory.legendAt || 0, Math.max(entries.length - 1, 0));
        const buttons = entries.map((e, i) => {
          const colour = view.colours[e.token] || e.colour, kind = e.kind || "line";
          const sample = svg("svg", { width: 26, height: 14, "aria-hidden": "true", focusable: "false" },
            kind === "area" && svg("rect", { x: 5, y: 1, width: 16, height: 12, style: { fill: colour } }),
            kind === "line" && svg("line", { x1: 0, x2: 26, y1: 7, y2: 7, "stroke-width": 2, "stroke-dasharray": (e.dashes || []).join(" "), style: { stroke: colour } }),
            kind !== "area" && e.marker && svg("path", { d: SC.marker(e.marker, 4), transform: "translate(13,7)", style: { fill: colour } }));
          return html("button", { type: "button", key: `${name}-${e.value}`, tabindex: i === start ? "0" : "-1", "aria-pressed": hidden.has(e.value) ? "false" : "true",
            on: { click: () => { view.memory.legendAt = i; hidden.has(e.value) ? hidden.delete(e.value) : hidden.add(e.value); view.set({ [name]: [...hidden] }); } } },
            sample, html("span", {}, SC.formula(SC.text(e.label ?? e.value, 60))));
        });
        box.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], at = buttons.indexOf(document.activeElement);
          if (!step || at < 0) return;
          event.preventDefault();
          const to = (at + step + buttons.length) % buttons.length;
          buttons.forEach((b, i) => b.setAttribute("tabindex", i === to ? "0" : "-1"));
          view.memory.legendAt = to; buttons[to].focus();
        });
        box.append(...buttons);
        into.append(box);
        return hidden;
      },
      /** Colours, markers and dashes of a column's values, as the static picture gives them. */
      series(table, column, { order = [], colors = {} } = {}) {
        const T = SC.tokens, names = T.names, all = table.unique(column);
        const keys = all.map((v) => table.key(column, v)), wanted = order.map(String);
        const sorted = [...keys.filter((k) => wanted.includes(k)).sort((a, b) => wanted.indexOf(a) - wanted.indexOf(b)), ...keys.filter((k) => !wanted.includes(k))];
        let free = names.filter((n) => !sorted.some((k) => colors[k] === n)), taken = 0;
        if (!free.length) free = names;
        return new Map(sorted.map((key, i) => {
          const token = colors[key] || free[taken++ % free.length], turn = i % T.markers.length;
          return [key, { value: all[keys.indexOf(key)], key, token, colour: view.colours[token], marker: T.markers[turn], dashes: T.dashes[(turn + Math.floor(i / T.markers.length)) % T.dashes.length] }];
        }));
      },
      heat(value, low, high, { diverging = false } = {}) {
        const scale = SC.tokens[diverging ? "diverging" : "sequential"][view.dark ? "dark" : "light"];
        const fill = Number.isFinite(value) ? mix(scale, high > low ? (value - low) / (high - low) : 0.5) : view.hex.grid;
        return { fill, ink: SC.inkOn(fill) };
      },
      /** Dragging: `move(x, y)` gets pixels of the picture; `key(dx, dy)` is called for arrow keys. */
      drag(node, { start, move, end, key, label, name = label, role = "slider", value }) {
        if (key) {
          node.setAttribute("tabindex", "0"); node.setAttribute("role", role); node.setAttribute("aria-label", SC.say(SC.text(label)));
          if (role === "slider") { node.setAttribute("aria-valuenow", Number.isFinite(value) ? value : 0); node.setAttribute("aria-valuetext", SC.text(value ?? "")); }
          node.dataset.key = `drag-${name}`;
          const outer = node.closest("svg"); // what has a focus of its own must be seen by readers' software
          if (outer) { outer.removeAttribute("aria-hidden"); outer.setAttribute("role", "group"); outer.setAttribute("aria-label", SC.say("picture")); }
          node.addEventListener("keydown", (e) => {
            const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
            if (step) { e.preventDefault(); e.stopPropagation(); key(...step.map((s) => s * (e.shiftKey ? 5 : 1)), e); }
          });
        }
        node.classList.add("sc-drag");
        node.addEventListener("pointerdown", (e) => {
          if (e.button) return;
          e.preventDefault();
          const picture = node.closest("svg") || root, a = picture.getBoundingClientRect(), b = root.getBoundingClientRect();
          const offset = [a.left - b.left, a.top - b.top];
          const at = (event) => { const r = root.getBoundingClientRect(), k = view.scale(); return [(event.clientX - r.left - offset[0]) / k, (event.clientY - r.top - offset[1]) / k]; };
          view.dragging = true;
          if (node.focus) node.focus({ preventScroll: true });
          try { root.setPointerCapture(e.pointerId); } catch (error) { /* a pointer that is gone already */ }
          if (start) start(...at(e), e);
          const moved = (event) => { if (move) move(...at(event), event); };
          const stop = (event) => {
            view.dragging = false;
            root.removeEventListener("pointermove", moved);
            for (const name of ["pointerup", "pointercancel"]) root.removeEventListener(name, stop);
            if (end) end(...at(event), event);
          };
          root.addEventListener("pointermove", moved);
          for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, stop);
        });
        return node;
      },
    };
    const showControls = () => { for (const p of parts) p.show(view.state[p.control.name]); play(); };
    // Play steps its range until the end; with reduced motion it jumps there.
    const play = () => {
      const running = parts.find((p) => p.play && view.state[p.control.name]);
      if (!running) { clearInterval(timer); timer = null; return; }
      if (timer) return;
      const c = running.control, range = controls.find((o) => o.name === c.of);
      const values = range.values || Array.from({ length: Math.floor((range.max - range.min) / (range.step || 1) + 1e-9) + 1 }, (_, i) => Number((range.min + i * (range.step || 1)).toPrecision(12)));
      const at = () => values.findIndex((v) => equal(v, view.state[c.of]));
      if (quiet()) { queueMicrotask(() => view.set({ [c.of]: at() === values.length - 1 ? values[0] : values.at(-1), [c.name]: false })); return; }
      if (at() === values.length - 1) queueMicrotask(() => view.set({ [c.of]: values[0] }));
      timer = setInterval(() => {
        const i = at();
        if (gone || !shell.isConnected || i >= values.length - 1) { clearInterval(timer); timer = null; view.set({ [c.name]: false }); }
        else view.set({ [c.of]: values[i + 1] });
      }, Math.max(60, ((c.seconds || 6) * 1000) / values.length));
    };
    function drawNow() {
      if (!shell.isConnected && !element.isConnected) return;
      const width = Math.floor(shell.clientWidth);
      if (!width) return;
      const begin = performance.now();
      words = own;
      const active = document.activeElement && root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      try {
        view.width = width; view.narrow = width < 520; view.dark = SC.dark();
        shell.classList.toggle("sc-dark", view.dark);
        shell.classList.toggle("sc-narrow", view.narrow);
        view.hex = SC.tokens[view.dark ? "dark" : "light"];
        view.focused = active;
        view.tables = Object.fromEntries(Object.entries(view.all).map(([name, table]) => {
          for (const c of controls) if (c.column && table.has(c.column)) table = c.upto ? table.filter((row) => row[c.column] <= view.state[c.name]) : table.where(c.column, view.state[c.name]);
          return [name, table];
        }));
        const high = root.offsetHeight;
        if (high) root.style.minHeight = `${high}px`; // the page does not jump while the root is empty
        root.replaceChildren();
        view.tip();
        view.last = null;
        actor.draw(view);
        const text = actor.describe ? actor.describe(view) : null;
        if (text) view.say(text);
        else if (changed && view.text === view.alt) view.say(`${controls.map((c) => `${SC.formula(c.label || c.name)}: ${SC.text(view.state[c.name])}`).join(", ") || "Changed"}. ${view.alt}`);
        root.style.minHeight = "";
        for (const plot of root.querySelectorAll(".sc-plot"))
          plot.setAttribute("aria-label", `${plot.dataset.name}${view.text === view.alt ? view.alt : SC.aloud(view.text)}${plot.tabIndex === 0 ? SC.say(" The arrow keys read the values.") : ""}`);
        if (active) {
          const same = [...root.querySelectorAll("[data-key]")].find((n) => n.dataset.key === active);
          if (same) same.focus({ preventScroll: true });
        }
        shell.dataset.redraw = (performance.now() - begin).toFixed(1);
        shell.dataset.draws = Number(shell.dataset.draws || 0) + 1;
      } catch (error) { root.style.minHeight = ""; fail(error); }
    }
    let actor;
    const names = Object.keys(SC.tokens.light);
    view.colours = Object.fromEntries(names.map((n) => [n, `var(--sc-${n})`]));
    try {
      view.all = Object.fromEntries(Object.entries(payload.tables || {}).map(([name, raw]) => [name, SC.table(name, raw)]));
      if (!Object.keys(view.all).length) throw new Error("it has no data");
      actor = spec.kind === "explorer" ? SC.explorers[spec.explorer] : SC.kinds[spec.kind];
      if (!actor) throw new Error(spec.kind === "explorer" ? `its script ${spec.explorer} is absent` : `unknown kind ${spec.kind}`);
      controls = (spec.controls || []).map((c) => prepared(c, view.all));
      view.controls = controls; view.tables = view.all;
      for (const c of controls) view.state[c.name] = c.value;
      Object.assign(view.state, typeof actor.state === "function" ? actor.state(view) : actor.state || {}, given || {});
      parts = controls.map((c) => ({ ...makeControl(c, view), control: c }));
      bar.append(...inRows(parts));
      if (!parts.length) bar.hidden = true;
      showControls();
      drawNow();
    } catch (error) { fail(error); }
    // Width and mode may change at any time.
    let last = shell.clientWidth;
    const sized = new ResizeObserver(() => { if (shell.clientWidth !== last) { last = shell.clientWidth; if (!("failed" in shell.dataset)) view.redraw(); } });
    sized.observe(shell);
    const moded = new MutationObserver(() => { if (SC.dark() !== view.dark && !("failed" in shell.dataset)) view.redraw(); });
    moded.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "theme"] });
    if (document.body) moded.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
    const system = matchMedia("(prefers-color-scheme: dark)"), onsystem = () => { if (SC.dark() !== view.dark) view.redraw(); };
    system.addEventListener("change", onsystem);
    return {
      view, failed: () => "failed" in shell.dataset,
      set(state) { view.set(state); },
      remove() {
        gone = true; clearInterval(timer); clearTimeout(speaking); cancelAnimationFrame(waiting);
        sized.disconnect(); moded.disconnect(); system.removeEventListener("change", onsystem); shell.remove();
      },
    };
  };

  // ------------------------------------------------------------------ pages
  const files = new Map();
  const script = typeof document !== "undefined" && document.currentScript;
  SC.base = script && script.src ? script.src.replace(/[^/]*$/, "") : "";
  /** Loads a classic script beside this one, once; resolves with what it gives to SC.provide. */
  SC.load = (file) => {
    if (!files.has(file)) {
      let resolve, reject;
      const promise = new Promise((yes, no) => { resolve = yes; reject = no; });
      files.set(file, { promise, resolve, reject });
      const node = document.createElement("script");
      node.src = SC.base + file;
      node.onerror = () => { files.delete(file); reject(new Error(`the file ${file} of this page is absent`)); };
      document.head.append(node);
    }
    return files.get(file).promise;
  };
  SC.provide = (file, value) => {
    const known = files.get(file);
    if (known) known.resolve(value);
    else files.set(file, { promise: Promise.resolve(value) });
  };

  /** Makes the figures of a page alive, each when it comes near: [data-sc-figure] with its payload in a script of
      type application/json inside, or in the file that data-sc-file names. The static picture beside it goes. */
  SC.page = () => {
    const wake = async (place) => {
      if (place.dataset.scAwake !== undefined) return;
      place.dataset.scAwake = "";
      try {
        const inline = place.querySelector('script[type="application/json"]');
        const payload = inline ? JSON.parse(inline.textContent) : await SC.load(place.dataset.scFile);
        const handle = SC.mount(place, payload);
        place.scHandle = handle;
        const figure = place.closest("figure") || place.parentNode;
        if (handle.failed()) throw new Error("not drawn");
        figure.classList.add("sc-is-living");
      } catch (error) {
        console.warn("figure", error);
        if (!place.querySelector(".sc-error")) place.append(html("p", { class: "sc-error", role: "note" }, "This figure stays a picture: its data could not be read here."));
      }
    };
    const places = [...document.querySelectorAll("[data-sc-figure]")];
    if (typeof IntersectionObserver === "undefined") return Promise.all(places.map(wake));
    const seen = new IntersectionObserver((entries) => { for (const e of entries) if (e.isIntersecting) { seen.unobserve(e.target); wake(e.target); } }, { rootMargin: "1200px 0px" });
    places.forEach((place) => seen.observe(place));
    SC.wake = () => Promise.all(places.map(wake));
    return null;
  };
  return SC;
})();
