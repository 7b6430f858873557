/* Push it around: points in the plane of a two-dimensional embedding, and gradient descent on the six terms. */
spoco.figures.push = async (data, stage) => {
  "use strict";
  const S = spoco;
  const EPS = 1e-6; // as in the module: keeps the Dice of two empty masks finite
  const NAMES = ["pull", "push", "regularizer", "instance", "unlabeled_push", "consistency"];
  const SHOWN = ["pull", "push", "regulariser", "instance", "unlabelled push", "consistency"];

  // ------------------------------------------------------------------ the terms, as in spoco_lite.losses

  /** Values of the six terms, and their gradients with respect to f. Points are arrays [x0, y0, x1, y1, ...]. */
  function terms(f, g, labels, anchors, { deltaVar, deltaDist, threshold }) {
    const count = labels.length, rate = -Math.log(threshold) / deltaVar ** 2;
    const gradient = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(f.length)]));
    const value = Object.fromEntries(NAMES.map((name) => [name, 0]));
    const regions = [...new Set(labels)].filter((k) => k >= 0).sort((a, b) => a - b);
    const members = regions.map((k) => [...labels.keys()].filter((i) => labels[i] === k));
    const means = members.map((own) => [0, 1].map((c) => own.reduce((sum, i) => sum + f[2 * i + c], 0) / own.length));
    const objects = [...regions.keys()].filter((r) => regions[r] > 0);
    const rest = [...labels.keys()].filter((i) => labels[i] < 0);
    const from = (i, r) => [f[2 * i] - means[r][0], f[2 * i + 1] - means[r][1]];
    const onPoint = (name, i, x, y) => { gradient[name][2 * i] += x; gradient[name][2 * i + 1] += y; };
    const onMean = (name, r, x, y) => { // a mean moves with each of its members
      for (const i of members[r]) onPoint(name, i, x / members[r].length, y / members[r].length);
    };

    regions.forEach((_, r) => { // pull
      const share = 1 / (regions.length * members[r].length);
      for (const i of members[r]) {
        const [x, y] = from(i, r), distance = Math.hypot(x, y), hinge = distance - deltaVar;
        if (hinge <= 0) continue;
        value.pull += share * hinge ** 2;
        const slope = (2 * share * hinge) / distance;
        onPoint("pull", i, slope * x, slope * y);
        onMean("pull", r, -slope * x, -slope * y);
      }
    });
    for (const r of regions.keys()) { // push, each pair in both orders
      for (const s of regions.keys()) {
        if (r === s) continue;
        const x = means[r][0] - means[s][0], y = means[r][1] - means[s][1], distance = Math.hypot(x, y);
        const hinge = 2 * deltaDist - distance, share = 1 / (regions.length * (regions.length - 1));
        if (hinge <= 0) continue;
        value.push += share * hinge ** 2;
        const slope = distance ? (-2 * share * hinge) / distance : 0;
        onMean("push", r, slope * x, slope * y);
        onMean("push", s, -slope * x, -slope * y);
      }
    }
    regions.forEach((_, r) => { // regulariser
      const length = Math.hypot(...means[r]), share = 1 / regions.length;
      value.regularizer += share * length;
      if (length) onMean("regularizer", r, (share * means[r][0]) / length, (share * means[r][1]) / length);
    });
    /** 1 - Dice of masks p and q times `share`, and the slope with respect to each p. */
    const dice = (p, q, share) => {
      let overlap = 0, mass = 0;
      for (let i = 0; i < count; i++) { overlap += p[i] * q[i]; mass += p[i] ** 2 + q[i] ** 2; }
      mass = Math.max(mass, EPS);
      const slope = p.map((_, i) => share * ((-2 * q[i]) / mass + (4 * overlap * p[i]) / mass ** 2));
      return [share * (1 - (2 * overlap) / mass), slope];
    };
    /** Memberships of all points around (x, y). */
    const mask = (points, x, y) => Float64Array.from({ length: count }, (_, i) =>
      Math.exp(-Math.min(30, rate * ((points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2))));
    for (const r of objects) { // instance: the soft mask around a mean is the drawn mask
      const p = mask(f, ...means[r]), q = Float64Array.from(labels, (k) => Number(k === regions[r]));
      const [loss, slope] = dice(p, q, 1 / objects.length);
      value.instance += loss;
      for (let i = 0; i < count; i++) {
        const [x, y] = from(i, r), pull = -2 * rate * p[i] * slope[i];
        onPoint("instance", i, pull * x, pull * y);
        onMean("instance", r, -pull * x, -pull * y);
      }
    }
    for (const r of objects) { // unlabelled push
      for (const i of rest) {
        const [x, y] = from(i, r), distance = Math.max(Math.hypot(x, y), EPS), hinge = deltaDist - distance;
        if (hinge <= 0) continue;
        const share = 1 / (objects.length * rest.length), slope = (-2 * share * hinge) / distance;
        value.unlabeled_push += share * hinge ** 2;
        onPoint("unlabeled_push", i, slope * x, slope * y);
        onMean("unlabeled_push", r, -slope * x, -slope * y);
      }
    }
    for (const m of anchors) { // consistency: g is a target
      const p = mask(f, f[2 * m], f[2 * m + 1]), q = mask(g, g[2 * m], g[2 * m + 1]);
      const [loss, slope] = dice(p, q, 1 / anchors.length);
      value.consistency += loss;
      for (let i = 0; i < count; i++) {
        const pull = -2 * rate * p[i] * slope[i], x = f[2 * i] - f[2 * m], y = f[2 * i + 1] - f[2 * m + 1];
        onPoint("consistency", i, pull * x, pull * y);
        onPoint("consistency", m, -pull * x, -pull * y);
      }
    }
    return { value, gradient, means, regions };
  }

  /** Numbers from 0 to below 1 that are the same in every browser (mulberry32). */
  let seed = 1;
  const random = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  /** Unlabelled points at random, each at least deltaVar from every earlier one in f and in g; at most 20. */
  function drawAnchors(f, g, labels, deltaVar) {
    let left = [...labels.keys()].filter((i) => labels[i] < 0);
    const anchors = [], apart = (e, i, j) => Math.hypot(e[2 * i] - e[2 * j], e[2 * i + 1] - e[2 * j + 1]) >= deltaVar;
    while (left.length && anchors.length < 20) {
      const m = left[Math.floor(random() * left.length)];
      anchors.push(m);
      left = left.filter((i) => apart(f, i, m) && apart(g, i, m));
    }
    return anchors;
  }

  // ------------------------------------------------------------------ state and controls

  const { rows, columns, labels, truth } = data, count = labels.length;
  const objects = [...new Set(labels)].filter((k) => k > 0);
  const state = { f: null, g: null, anchors: [], steps: 0, playing: false, chosen: data.chosen, held: false };
  const lengths = () => ({ deltaVar: data.deltaVar, deltaDist: data.deltaDist, threshold: data.threshold });

  function reset() {
    seed = 1;
    Object.assign(state, { f: Float64Array.from(data.f), g: Float64Array.from(data.g), steps: 0 });
    state.anchors = drawAnchors(state.f, state.g, labels, data.deltaVar);
  }

  const switches = NAMES.map((name, i) => {
    const on = S.toggle(SHOWN[i], true, () => self.later());
    const most = name === "regularizer" ? 1 : 3;
    const weight = S.make("input", {
      type: "range", min: 0, max: most, step: most === 1 ? 0.001 : 0.01, value: data.weights[name], "aria-label": `weight of the term ${SHOWN[i]}`,
      oninput: () => self.later(),
    });
    return { name, on, weight, cells: [S.make("span"), S.make("span")] };
  });
  const table = S.make("div", { class: "spoco-controls spoco-terms" },
    ...switches.flatMap(({ on, weight, cells }) => [on.element, weight, ...cells]));
  const plane = S.make("canvas", { tabindex: 0, role: "application", "aria-roledescription": "plane of points",
    "aria-label": "The points of the embedding. Page Down and Page Up choose a point, arrow keys move it." });
  const mask = S.make("canvas", { role: "img" });
  const words = S.say();
  const play = S.button("Play", () => run(!state.playing));
  const rate = S.slider("step length", { min: 0.5, max: 20, step: 0.5, value: data.rate, digits: 1 }, () => {});
  const momentum = S.slider("momentum of g", { min: 0.8, max: 1, step: 0.005, value: data.momentum, digits: 3 }, () => {});
  stage.append(
    S.make("style", {}, ".spoco-figure .spoco-terms { align-items: center; display: grid; gap: 0 0.8rem; grid-template-columns: auto minmax(3rem, 11rem) 3.9rem 3.6rem; justify-content: start; }" +
      ".spoco-figure .spoco-terms input[type=range] { max-width: 100%; width: 100%; }" +
      ".spoco-plane { display: grid; gap: 0.6rem 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }"),
    S.make("div", { class: "spoco-plane" },
      S.panel("the embedding", plane),
      S.make("div", {}, S.panel("soft mask of the chosen point, in the picture", mask), table)),
    S.controls(play, S.button("Step", () => { run(false); descend(); self.later(); }),
      S.button("Start again", () => { run(false); reset(); self.later(); }), rate, momentum),
    words.element,
  );

  /** One step of gradient descent on the weighted sum of the terms that are on; g follows f. */
  function descend() {
    state.anchors = drawAnchors(state.f, state.g, labels, data.deltaVar); // new ones in every step, as in training
    const { gradient } = terms(state.f, state.g, labels, state.anchors, lengths());
    for (const { name, on, weight } of switches) {
      const w = on.value ? Number(weight.value) * rate.value : 0;
      if (w) for (let i = 0; i < 2 * count; i++) {
        if (!(state.held && i >> 1 === state.chosen)) state.f[i] -= w * gradient[name][i];
      }
    }
    const m = momentum.value;
    for (let i = 0; i < 2 * count; i++) state.g[i] = m * state.g[i] + (1 - m) * state.f[i];
    state.steps++;
  }

  function run(playing) {
    if (playing === state.playing) return;
    state.playing = playing;
    play.textContent = playing ? "Pause" : "Play";
    if (!playing) return self.later();
    const frame = () => {
      if (!state.playing) return;
      if (!stage.isConnected) return;
      descend();
      self.draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  // ------------------------------------------------------------------ drawing and dragging

  let axes = null;

  function drawPlane(means, regions) {
    axes = S.axes(plane, { x: [-4.2, 4.2], y: [-3.2, 3.2], aspect: 0.85, equal: true, xlabel: "first component", ylabel: "second component" });
    const at = (i) => [axes.at(state.f[2 * i]), axes.up(state.f[2 * i + 1])];
    for (let i = 0; i < count; i++) { // dots: annotated; rings: a leaf that nobody drew; small and grey: background
      axes.fillStyle = axes.strokeStyle = S.colourOf(data.palette, truth[i]);
      axes.lineWidth = 1.5;
      axes.beginPath();
      axes.arc(...at(i), truth[i] ? 3.5 : 2, 0, 2 * Math.PI);
      if (truth[i] && labels[i] < 0) axes.stroke();
      else axes.fill();
    }
    axes.strokeStyle = axes.colour;
    means.forEach(([x, y], r) => {
      if (regions[r] <= 0) return;
      axes.lineWidth = 1.5;
      for (const [radius, dash] of [[data.deltaVar, []], [data.deltaDist, [4, 4]]]) {
        axes.setLineDash(dash);
        axes.beginPath();
        axes.arc(axes.at(x), axes.up(y), radius * axes.scale, 0, 2 * Math.PI);
        axes.stroke();
      }
      axes.setLineDash([]);
    });
    if (switches[5].on.value) {
      for (const m of state.anchors) { // anchors of the consistency
        const [x, y] = at(m);
        axes.lineWidth = 1.5;
        axes.beginPath();
        for (const slant of [-4, 4]) {
          axes.moveTo(x - 4, y - slant);
          axes.lineTo(x + 4, y + slant);
        }
        axes.stroke();
      }
    }
    S.ring(axes, ...at(state.chosen), 8);
  }

  function drawMask() {
    const context = S.fresh(mask, rows / columns), pixels = new Uint8ClampedArray(4 * count);
    const rate = -Math.log(data.threshold) / data.deltaVar ** 2, c = state.chosen;
    for (let i = 0; i < count; i++) {
      const squared = (state.f[2 * i] - state.f[2 * c]) ** 2 + (state.f[2 * i + 1] - state.f[2 * c + 1]) ** 2;
      const p = Math.exp(-Math.min(30, rate * squared)), colour = S.rgb(S.colourOf(data.palette, truth[i]));
      for (let k = 0; k < 3; k++) pixels[4 * i + k] = 28 + (colour[k] - 28) * (0.2 + 0.8 * p);
      pixels[4 * i + 3] = 255;
    }
    S.paint(context, pixels, columns, rows);
    S.ring(context, (((c % columns) + 0.5) / columns) * context.wide, ((Math.floor(c / columns) + 0.5) / rows) * context.high, 6);
    const kind = truth[c] ? `leaf ${truth[c]}${labels[c] < 0 ? ", which nobody drew" : ""}` : "background";
    mask.setAttribute("aria-label", `The soft mask of point ${c}, a pixel of ${kind}.`);
  }

  const self = {
    state, switches, terms, drawAnchors, descend, run, reset, lengths,
    at: (i) => { const box = plane.getBoundingClientRect(); return [box.left + axes.at(state.f[2 * i]), box.top + axes.up(state.f[2 * i + 1])]; },
    draw() {
      const { value, means, regions } = terms(state.f, state.g, labels, state.anchors, lengths());
      drawPlane(means, regions);
      drawMask();
      let total = 0;
      for (const { name, on, weight, cells } of switches) {
        const w = on.value ? Number(weight.value) : 0;
        total += w * value[name];
        cells[0].textContent = `× ${Number(weight.value).toFixed(3)}`;
        cells[1].textContent = value[name].toFixed(4);
      }
      self.value = value;
      const text = `Step ${state.steps}: weighted sum ${total.toFixed(3)}. ` +
        NAMES.map((name, i) => `${SHOWN[i]} ${value[name].toFixed(2)}`).join(", ") + ".";
      if (state.playing) words.show(text);
      else words.tell(text);
    },
  };

  const nearest = (event) => {
    const box = plane.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, closest = event.pointerType === "mouse" ? 12 : 24;
    for (let i = 0; i < count; i++) {
      const away = Math.hypot(axes.at(state.f[2 * i]) - x, axes.up(state.f[2 * i + 1]) - y);
      if (away < closest) { closest = away; best = i; }
    }
    return best;
  };
  plane.addEventListener("pointerdown", (event) => {
    const found = nearest(event);
    if (found < 0) return;
    Object.assign(state, { chosen: found, held: true });
    plane.setPointerCapture(event.pointerId);
    self.later();
  });
  plane.addEventListener("pointermove", (event) => {
    if (!state.held) return;
    const box = plane.getBoundingClientRect();
    state.f[2 * state.chosen] = axes.xOf(event.clientX - box.left);
    state.f[2 * state.chosen + 1] = axes.yOf(event.clientY - box.top);
    self.later();
  });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { state.held = false; });
  plane.addEventListener("touchstart", (event) => { // a finger on a point drags it, elsewhere it scrolls the page
    if (state.held) event.preventDefault();
  }, { passive: false });
  plane.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    const next = { PageDown: 1, PageUp: -1 }[event.key];
    if (!way && !next) return;
    event.preventDefault();
    if (next) state.chosen = (state.chosen + next + count) % count;
    else for (const c of [0, 1]) state.f[2 * state.chosen + c] += (event.shiftKey ? 0.5 : 0.1) * way[c];
    self.later();
  });
  reset();
  return self;
};
