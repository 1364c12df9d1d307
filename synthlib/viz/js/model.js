/* The pocket generators, run by the page: tokenizer, forward pass, two-context greedy decoding.

   SC.model.open(name)  ->  Promise of a model that runs in a worker, or in the page where there are none
   model.write({contexts, weights, room, slopes, top}, onStep)   one text (decoding.generate_mixture)
   model.list({prompt, anchor, lam, steps, room}, onEvent)       a list (decoding.generate_ranking_lists)
   Both return {promise, stop()}.  SC.model.kernel is the arithmetic itself, for tests.

   The weights are a classic script beside the page's (written by synthlib.viz.page_model), which is
   fetched when a model is opened, not before. */
(function (SC) {
  "use strict";

  // Everything that computes stands in this one function: its source is also the worker's.
  function makeKernel() {
    "use strict";

    // ---------------------------------------------------------------- weights
    function bytesOf(text) {
      const raw = atob(text), bytes = new Uint8Array(raw.length);
      for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
      return bytes;
    }

    /** Single precision ("f4"), half ("f2"), or whole numbers of 20 bits times their row's scale ("q20"). */
    function numbers({ weights, scales, format, tensors }) {
      const bytes = bytesOf(weights);
      if (format === "f4") return new Float32Array(bytes.buffer);
      if (format === "f2") {
        return Float32Array.from(new Uint16Array(bytes.buffer), (h) => {
          const exponent = (h >> 10) & 31, fraction = h & 1023;
          const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24;
          return h & 32768 ? -size : size;
        });
      }
      const out = new Float32Array((bytes.length / 5) * 2);
      for (let i = 0, at = 0; i < out.length; i += 2, at += 5) { // two numbers in five bytes
        out[i] = (bytes[at] | (bytes[at + 1] << 8) | ((bytes[at + 2] & 15) << 16)) - 524288;
        out[i + 1] = ((bytes[at + 2] >> 4) | (bytes[at + 3] << 4) | (bytes[at + 4] << 12)) - 524288;
      }
      const scale = new Float32Array(bytesOf(scales).buffer);
      let start = 0, row = 0;
      for (const [, size, wide] of tensors) {
        for (let i = 0; i < size; i++) out[start + i] *= scale[row + Math.floor(i / wide)];
        start += size;
        row += size / wide;
      }
      return out;
    }

    /** A model from the payload of `page_model.payload`. */
    function build(payload) {
      const all = numbers(payload);
      const tensors = {};
      let start = 0;
      for (const [name, size] of payload.tensors) {
        tensors[name] = all.subarray(start, (start += size));
      }
      const ids = new Map(payload.words.map((word, i) => [word, i]));
      return { ...payload, weights: null, scales: null, tensors, ids, read: new Map() };
    }

    // ---------------------------------------------------------------- tokenizer
    // Unicode's White_Space, which is not quite JavaScript's \s.
    const BLANK = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

    /** Ids of a text, and its words that the vocabulary does not have. */
    function tokenize(model, text) {
      const found = [], unknown = [];
      const marks = new RegExp("(" + model.special.join("|") + ")");
      text.split(marks).forEach((piece, i) => {
        if (i % 2) return found.push(model.ids.get(piece));
        for (const chunk of piece.toLowerCase().split(BLANK)) {
          const cut = /^(.+)([.,:;?!])$/su.exec(chunk);
          for (const word of cut ? [cut[1], cut[2]] : chunk ? [chunk] : []) {
            const id = model.ids.get(word);
            if (id === undefined) unknown.push(word);
            found.push(id === undefined ? model.unknown : id);
          }
        }
      });
      if (model.appends !== null) found.push(model.appends);
      return { ids: found, unknown };
    }

    function detokenize(model, ids) {
      return ids.map((id) => model.words[id]).join(" ");
    }

    // ---------------------------------------------------------------- layers
    /** y [n, out] = x [n, in] · Wᵀ, W [out, in]; added to `onto` where given. */
    function linear(x, weight, n, onto) {
      const wide = x.length / n, out = weight.length / wide;
      const y = onto || new Float32Array(n * out);
      for (let o = 0; o < out; o++) {
        const row = o * wide;
        for (let r = 0; r < n; r++) {
          const at = r * wide;
          let a = 0, b = 0, c = 0, d = 0;
          for (let i = 0; i < wide; i += 4) {
            a += weight[row + i] * x[at + i];
            b += weight[row + i + 1] * x[at + i + 1];
            c += weight[row + i + 2] * x[at + i + 2];
            d += weight[row + i + 3] * x[at + i + 3];
          }
          y[r * out + o] += a + b + c + d;
        }
      }
      return y;
    }

    /** Root-mean-square normalization of n rows; both architectures have it. */
    function norm(x, weight, n, epsilon) {
      const wide = weight.length, y = new Float32Array(x.length);
      for (let r = 0; r < n; r++) {
        let sum = 0;
        for (let i = r * wide; i < (r + 1) * wide; i++) sum += x[i] * x[i];
        const scale = 1 / Math.sqrt(sum / wide + epsilon);
        for (let i = 0; i < wide; i++) y[r * wide + i] = x[r * wide + i] * scale * weight[i];
      }
      return y;
    }

    /** Attention of one query row [heads · size] over m rows of keys and values. */
    function attend(out, to, q, from, keys, values, m, heads, size, scale, bias) {
      const wide = heads * size, scores = new Float32Array(m);
      for (let h = 0; h < heads; h++) {
        const off = h * size;
        let top = -Infinity, total = 0;
        for (let j = 0; j < m; j++) {
          let s = 0;
          for (let i = 0; i < size; i++) s += q[from + off + i] * keys[j * wide + off + i];
          s = s * scale + (bias ? bias(j, h) : 0);
          scores[j] = s;
          if (s > top) top = s;
        }
        for (let j = 0; j < m; j++) total += scores[j] = Math.exp(scores[j] - top);
        for (let j = 0; j < m; j++) {
          const p = scores[j] / total;
          for (let i = 0; i < size; i++) out[to + off + i] += p * values[j * wide + off + i];
        }
      }
    }

    function embed(model, table, ids) {
      const wide = model.config.width, x = new Float32Array(ids.length * wide);
      ids.forEach((id, r) => x.set(table.subarray(id * wide, (id + 1) * wide), r * wide));
      return x;
    }

    /** A row appended to a growing Float32Array store {data, rows}. */
    function append(store, row) {
      const need = (store.rows + 1) * row.length;
      if (need > store.data.length) {
        const grown = new Float32Array(2 * need);
        grown.set(store.data);
        store.data = grown;
      }
      store.data.set(row, store.rows++ * row.length);
    }

    // ---------------------------------------------------------------- T5
    /** Bucket of the distance key − query, in single precision as the library computes it. */
    function bucket(distance, both, buckets, farthest) {
      const f = Math.fround;
      let base = 0;
      if (both) {
        buckets /= 2;
        base = distance > 0 ? buckets : 0;
        distance = Math.abs(distance);
      } else distance = Math.max(-distance, 0);
      const exact = buckets / 2;
      if (distance < exact) return base + distance;
      const part = f(f(Math.log(f(distance / exact))) / f(Math.log(farthest / exact)));
      return base + Math.min(buckets - 1, exact + Math.floor(f(part * (buckets - exact))));
    }

    const t5 = {
      bias(model, side) {
        const { heads, buckets, farthest } = model.config, known = new Map();
        const table = model.tensors[`${side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`];
        return (distance, h) => {
          let at = known.get(distance);
          if (at === undefined) {
            at = bucket(distance, side === "encoder", buckets, farthest) * heads;
            known.set(distance, at);
          }
          return table[at + h];
        };
      },

      /** Read a prompt: encoder, then each decoder layer's keys and values of its output. */
      read(model, ids) {
        const { heads, size, layers, epsilon } = model.config, w = model.tensors, n = ids.length;
        const bias = t5.bias(model, "encoder");
        const x = embed(model, w["shared.weight"], ids);
        for (let l = 0; l < layers; l++) {
          const own = `encoder.block.${l}.layer.`;
          const z = norm(x, w[own + "0.layer_norm.weight"], n, epsilon);
          const [q, k, v] = ["q", "k", "v"].map((m) => linear(z, w[`${own}0.SelfAttention.${m}.weight`], n));
          const mixed = new Float32Array(q.length), wide = heads * size;
          for (let r = 0; r < n; r++) {
            attend(mixed, r * wide, q, r * wide, k, v, n, heads, size, 1, (j, h) => bias(j - r, h));
          }
          linear(mixed, w[own + "0.SelfAttention.o.weight"], n, x);
          const y = norm(x, w[own + "1.layer_norm.weight"], n, epsilon);
          const inner = linear(y, w[own + "1.DenseReluDense.wi.weight"], n).map((a) => (a > 0 ? a : 0));
          linear(inner, w[own + "1.DenseReluDense.wo.weight"], n, x);
        }
        const hidden = norm(x, w["encoder.final_layer_norm.weight"], n, epsilon);
        const cross = [];
        for (let l = 0; l < model.config.decoderLayers; l++) {
          const own = `decoder.block.${l}.layer.1.EncDecAttention.`;
          cross.push({
            keys: linear(hidden, w[own + "k.weight"], n), values: linear(hidden, w[own + "v.weight"], n),
          });
        }
        return { rows: n, cross, next: model.start };
      },

      begin(model, prompt) {
        const own = prompt.cross.map(() => ({
          keys: { data: new Float32Array(0), rows: 0 }, values: { data: new Float32Array(0), rows: 0 },
        }));
        const state = { prompt, own, length: 0 };
        return { state, logits: t5.step(model, state, prompt.next) };
      },

      /** One token further: next-token logits [V]. */
      step(model, state, token) {
        const { heads, size, epsilon, width, decoderLayers } = model.config, w = model.tensors;
        const bias = t5.bias(model, "decoder"), at = state.length++;
        const x = embed(model, w["shared.weight"], [token]);
        for (let l = 0; l < decoderLayers; l++) {
          const own = `decoder.block.${l}.layer.`;
          let z = norm(x, w[own + "0.layer_norm.weight"], 1, epsilon);
          const { keys, values } = state.own[l];
          append(keys, linear(z, w[own + "0.SelfAttention.k.weight"], 1));
          append(values, linear(z, w[own + "0.SelfAttention.v.weight"], 1));
          let q = linear(z, w[own + "0.SelfAttention.q.weight"], 1), mixed = new Float32Array(heads * size);
          attend(mixed, 0, q, 0, keys.data, values.data, keys.rows, heads, size, 1, (j, h) => bias(j - at, h));
          linear(mixed, w[own + "0.SelfAttention.o.weight"], 1, x);
          z = norm(x, w[own + "1.layer_norm.weight"], 1, epsilon);
          q = linear(z, w[own + "1.EncDecAttention.q.weight"], 1);
          mixed = new Float32Array(heads * size);
          const { keys: k, values: v } = state.prompt.cross[l];
          attend(mixed, 0, q, 0, k, v, state.prompt.rows, heads, size, 1);
          linear(mixed, w[own + "1.EncDecAttention.o.weight"], 1, x);
          z = norm(x, w[own + "2.layer_norm.weight"], 1, epsilon);
          const inner = linear(z, w[own + "2.DenseReluDense.wi.weight"], 1).map((a) => (a > 0 ? a : 0));
          linear(inner, w[own + "2.DenseReluDense.wo.weight"], 1, x);
        }
        const out = norm(x, w["decoder.final_layer_norm.weight"], 1, epsilon);
        if (model.config.scaled) for (let i = 0; i < width; i++) out[i] *= width ** -0.5;
        return linear(out, w["shared.weight"], 1);
      },
    };

    // ---------------------------------------------------------------- Llama
    const llama = {
      /** Turn each head's pairs (i, i + size/2) by angles that grow with the position. */
      rotate(model, x, n, start) {
        const { heads, size, theta } = model.config, half = size / 2;
        for (let r = 0; r < n; r++) {
          for (let i = 0; i < half; i++) {
            const angle = (start + r) * theta ** (-2 * i / size), c = Math.cos(angle), s = Math.sin(angle);
            for (let h = 0; h < heads; h++) {
              const at = (r * heads + h) * size + i, a = x[at], b = x[at + half];
              x[at] = a * c - b * s;
              x[at + half] = b * c + a * s;
            }
          }
        }
        return x;
      },

      /** Tokens [n] after `state.length` others: next-token logits [V] after the last. */
      forward(model, state, ids) {
        const { heads, size, layers, epsilon, width } = model.config, w = model.tensors, n = ids.length;
        const wide = heads * size, start = state.length;
        const x = embed(model, w["model.embed_tokens.weight"], ids);
        for (let l = 0; l < layers; l++) {
          const own = `model.layers.${l}.`;
          const z = norm(x, w[own + "input_layernorm.weight"], n, epsilon);
          const [q, k, v] = ["q", "k", "v"].map((m) => linear(z, w[`${own}self_attn.${m}_proj.weight`], n));
          llama.rotate(model, q, n, start);
          llama.rotate(model, k, n, start);
          const { keys, values } = state.own[l], mixed = new Float32Array(q.length);
          for (let r = 0; r < n; r++) {
            append(keys, k.subarray(r * wide, (r + 1) * wide));
            append(values, v.subarray(r * wide, (r + 1) * wide));
            attend(mixed, r * wide, q, r * wide, keys.data, values.data, start + r + 1, heads, size, size ** -0.5);
          }
          linear(mixed, w[own + "self_attn.o_proj.weight"], n, x);
          const y = norm(x, w[own + "post_attention_layernorm.weight"], n, epsilon);
          const gate = linear(y, w[own + "mlp.gate_proj.weight"], n), up = linear(y, w[own + "mlp.up_proj.weight"], n);
          for (let i = 0; i < gate.length; i++) gate[i] = (gate[i] / (1 + Math.exp(-gate[i]))) * up[i];
          linear(gate, w[own + "mlp.down_proj.weight"], n, x);
        }
        state.length += n;
        const last = norm(x.subarray((n - 1) * width), w["model.norm.weight"], 1, epsilon);
        return linear(last, w["model.embed_tokens.weight"], 1);
      },

      read(model, ids) {
        const state = { length: 0, own: [] };
        for (let l = 0; l < model.config.layers; l++) {
          state.own.push({
            keys: { data: new Float32Array(0), rows: 0 }, values: { data: new Float32Array(0), rows: 0 },
          });
        }
        return { state, logits: llama.forward(model, state, ids) };
      },

      begin(model, { state, logits }) {
        const copy = (store) => ({ data: store.data.slice(), rows: store.rows });
        const own = state.own.map(({ keys, values }) => ({ keys: copy(keys), values: copy(values) }));
        return { state: { length: state.length, own }, logits };
      },

      step: (model, state, token) => llama.forward(model, state, [token]),
    };

    const KINDS = { t5, llama };

    // ---------------------------------------------------------------- decoding
    /** What a model has made of a prompt; the last few are kept, so a drag reads nothing anew. */
    function read(model, text, room) {
      if (model.read.has(text)) {
        const known = model.read.get(text);
        model.read.delete(text); // move it to the end: the first goes when there are too many
        model.read.set(text, known);
        return known;
      }
      const { ids, unknown } = tokenize(model, text);
      if (ids.length === (model.appends === null ? 0 : 1)) throw new Error("There is no word to read.");
      const need = model.kind === "t5" ? 0 : room;
      if (ids.length + need > model.window) {
        throw new Error(`The prompt has ${ids.length} tokens; the model reads ${model.window - need} at most.`);
      }
      const prompt = { ...KINDS[model.kind].read(model, ids), unknown };
      model.read.set(text, prompt);
      if (model.read.size > 12) model.read.delete(model.read.keys().next().value);
      return prompt;
    }

    /** Weighted sum of K logit vectors; −∞ for what a text never holds. */
    function mix(logits, weights, banned) {
      const out = new Float64Array(logits[0].length);
      logits.forEach((row, k) => {
        for (let v = 0; v < out.length; v++) out[v] += weights[k] * row[v];
      });
      for (const v of banned) out[v] = -Infinity;
      return out;
    }

    function softmax(scores, banned) {
      const p = Float64Array.from(scores);
      for (const v of banned) p[v] = -Infinity;
      const top = p[best(p)];
      let total = 0;
      for (let v = 0; v < p.length; v++) total += p[v] = Math.exp(p[v] - top);
      for (let v = 0; v < p.length; v++) p[v] /= total;
      return p;
    }

    function best(scores) {
      let at = 0;
      for (let v = 1; v < scores.length; v++) if (scores[v] > scores[at]) at = v;
      return at;
    }

    /** Indices of the `count` largest values. */
    function highest(values, count) {
      const out = [];
      for (let v = 0; v < values.length; v++) {
        if (out.length === count && !(values[v] > values[out[count - 1]])) continue;
        let at = out.length;
        while (at > 0 && values[v] > values[out[at - 1]]) at--;
        out.splice(at, 0, v);
        if (out.length > count) out.pop();
      }
      return out;
    }

    /** How far the dial may turn down and up before the choice does: scores are straight lines in it. */
    function stays(scores, slopes, chosen) {
      let low = -Infinity, high = Infinity;
      for (let v = 0; v < scores.length; v++) {
        if (v === chosen || scores[v] === -Infinity) continue;
        const gap = scores[chosen] - scores[v], slope = slopes[chosen] - slopes[v];
        if (slope < 0) high = Math.min(high, -gap / slope);
        else if (slope > 0) low = Math.max(low, -gap / slope);
      }
      return [low, high];
    }

    /** The words that lead in any of the views (contexts and mixture), with all their probabilities. */
    function leaders(model, logits, scores, chosen, top) {
      const views = [...logits.map((row) => softmax(row, model.banned)), softmax(scores, [])];
      const names = new Set([chosen]);
      for (const p of views) highest(p, top).forEach((v) => names.add(v));
      const mixed = views[views.length - 1];
      return Array.from(names).sort((a, b) => mixed[b] - mixed[a]).map((v) => ({
        word: model.words[v], id: v, chosen: v === chosen, p: views.map((p) => p[v]),
      }));
    }

    /** Write a text greedily; yields each step, returns {ids, text, unknown, ended}. */
    function* write(model, { contexts, weights, room, slopes = null, top = 0 }) {
      const used = weights.map((_, k) => k).filter((k) => top || weights[k] !== 0);
      const kind = KINDS[model.kind], unknown = new Set(), running = [];
      for (const k of used) {
        const prompt = read(model, contexts[k], room);
        prompt.unknown.forEach((word) => unknown.add(word));
        running.push(kind.begin(model, prompt));
        yield { reading: k };
      }
      const dial = used.map((k) => weights[k]), ids = [];
      let ended = false;
      for (let t = 0; t < room; t++) {
        const logits = running.map((r) => r.logits);
        const scores = mix(logits, dial, model.banned), chosen = best(scores);
        if (!(scores[chosen] > -Infinity)) throw new Error("The model's logits are not numbers.");
        const step = { step: t, id: chosen, word: model.words[chosen] };
        if (slopes) {
          const tilt = mix(logits, used.map((k) => slopes[k]), []);
          [step.low, step.high] = stays(scores, tilt, chosen);
        }
        if (top) step.leaders = leaders(model, logits, scores, chosen, top);
        yield step;
        ended = model.ends.includes(chosen);
        if (ended) break;
        ids.push(chosen);
        if (t < room - 1) for (const r of running) r.logits = kind.step(model, r.state, chosen);
      }
      return { ids, text: detokenize(model, ids), unknown: Array.from(unknown), ended };
    }

    /** Write a ranking list; yields {place, word} and {place, sentence}, returns the sentences. */
    function* list(model, { prompt, anchor, lam, steps, room }) {
      const sentences = [anchor], ask = (text) => prompt.split("{sentence}").join(text);
      for (let place = 1; place <= steps; place++) {
        const last = sentences.slice(-2).reverse(); // the first sentence has one before it
        const weights = last.length < 2 || lam === 0 ? [1] : [1 + lam, -lam];
        const contexts = weights.map((_, k) => ask(last[k])), writing = write(model, { contexts, weights, room });
        let turn = writing.next();
        for (; !turn.done; turn = writing.next()) {
          yield turn.value.word === undefined ? turn.value : { place, word: turn.value.word, id: turn.value.id };
        }
        if (!turn.value.text) break;
        sentences.push(turn.value.text);
        yield { place, sentence: turn.value.text, unknown: turn.value.unknown };
      }
      return { sentences };
    }

    // ---------------------------------------------------------------- at work
    /** Answers messages one after the other, in slices; the same in a worker and in a page. */
    function serve(send, slice) {
      const jobs = [], models = {};
      const clock = () => performance.now();
      let busy = false;

      function start(job) {
        if (job.task === "load") models[job.name] = build(job.payload);
        if (job.task === "tokenize") return { value: tokenize(models[job.name], job.text), done: true };
        if (job.task === "load") return { value: { ready: true }, done: true };
        job.run = (job.task === "list" ? list : write)(models[job.name], job);
        job.steps = job.took = 0;
        return null;
      }

      function work() {
        const until = clock() + slice;
        while (jobs.length && clock() < until) {
          const job = jobs[0];
          try {
            let turn = job.run ? null : start(job);
            if (!turn) {
              const begun = clock();
              turn = job.run.next();
              if (!turn.done && turn.value.reading === undefined && job.steps++) job.took += clock() - begun;
            }
            if (turn.done) {
              jobs.shift();
              // The first step reads the prompts; the time of a step is the mean of the others.
              const ms = job.steps > 1 ? job.took / (job.steps - 1) : null;
              send({ id: job.id, done: { ...turn.value, steps: job.steps, ms } });
            } else if (turn.value.reading === undefined) send({ id: job.id, event: turn.value });
          } catch (error) {
            jobs.shift();
            send({ id: job.id, error: error.message });
          }
        }
        if (jobs.length) setTimeout(work, 0);
        else busy = false;
      }

      return function receive(message) {
        if (message.task === "stop") {
          const at = jobs.findIndex((job) => job.id === message.id);
          if (at >= 0) jobs.splice(at, 1);
          return;
        }
        jobs.push(message);
        if (!busy) {
          busy = true;
          setTimeout(work, 0);
        }
      };
    }

    return { build, tokenize, detokenize, bucket, read, mix, softmax, stays, write, list, serve };
  }

  // ------------------------------------------------------------------ the page's side
  const opened = {};

  /** The payload of a model: a script beside this one that is fetched once; works from file:// too. */
  function fetchWeights(name) {
    const held = (SC.weights || {})[name];
    if (held) return Promise.resolve(held);
    if (SC.ask) return SC.ask(name); // in a notebook: from its kernel
    if (!SC.load) return Promise.reject(new Error("There is no page to load the model from."));
    return SC.load(`${name}.js`);
  }

  /** A worker from the kernel's source, or null where the browser forbids it. */
  function makeWorker() {
    try {
      const source = `const kernel = (${makeKernel})(); self.onmessage = (() => {
        const receive = kernel.serve((answer) => self.postMessage(answer), 20);
        return (event) => receive(event.data); })();`;
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      return new Worker(address);
    } catch (error) {
      return null;
    }
  }

  function connect(name, payload, worker) {
    const waiting = new Map();
    let last = 0, receive;
    function answer(message) {
      const job = waiting.get(message.id);
      if (!job) return;
      if (message.event) return job.onEvent(message.event);
      waiting.delete(message.id);
      if (message.error) job.reject(new Error(message.error));
      else job.resolve(message.done);
    }
    if (worker) {
      receive = (message) => worker.postMessage(message);
      worker.onmessage = (event) => answer(event.data);
    } else receive = SC.model.kernel.serve(answer, 12);

    function run(task, options, onEvent) {
      const id = ++last;
      const promise = new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject, onEvent: onEvent || (() => {}) });
        receive({ id, task, name, ...options });
      });
      return { promise, stop: () => waiting.delete(id) && receive({ id, task: "stop" }) };
    }
    const model = {
      name, where: worker ? "worker" : "page",
      tokenize: (text) => run("tokenize", { text }).promise,
      write: (options, onStep) => run("write", options, onStep),
      list: (options, onEvent) => run("list", options, onEvent),
    };
    const ready = new Promise((resolve, reject) => {
      if (worker) worker.onerror = () => reject(new Error("The worker did not start."));
      run("load", { payload }).promise.then(() => resolve(model), reject);
    });
    return ready;
  }

  /** Fetch and start a model (once a page). `worker: false` keeps it in the page. */
  function open(name, { worker = true } = {}) {
    const key = name + (worker ? "" : " in the page");
    if (!opened[key]) {
      opened[key] = fetchWeights(name).then((payload) => {
        const helper = worker ? makeWorker() : null;
        const first = connect(name, payload, helper);
        // Where a worker is refused only after it was made, the page does the work itself.
        return helper ? first.catch(() => connect(name, payload, null)) : first;
      });
      opened[key].catch(() => delete opened[key]);
    }
    return opened[key];
  }

  SC.model = { open, kernel: makeKernel(), makeKernel };
})(typeof SC !== "undefined" ? SC : (globalThis.SC = {}));
