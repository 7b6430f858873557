/* Push it around: points in the plane of a two-dimensional embedding, and gradient descent on the six terms. */
spoco.figures.push = async (data, stage) => {
  "use strict";
  const S = spoco;
  const EPS = 1e-6; // as in the module: keeps the Dice of two empty masks finite
  const NAMES = ["pull", "push", "regularizer", "instance", "unlabeled_push", "consistency"];
  const SHOWN = ["pull", "push", "regulariser", "instance", "unlabelled push", "consistency"];

  // ---- the terms, as in spoco_lite.losses

  /** Values of the six terms, and their gradients with respect to f. Points are arrays [x0, y0, x1, y1, ...]. */
  function terms(f, g, labels, anchors) {
    const { deltaVar, deltaDist, threshold } = data, count = labels.length, rate = -Math.log(threshold) / deltaVar ** 2;
    const gradient = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(f.length)]));
    const value = Object.fromEntries(NAMES.map((name) => [name, 0]));
    const regions = [...new Set(labels)].filter((k) => k >= 0).sort((a, b) => a - b);
    const members = regions.map((k) => [...labels.keys()].filter((i) => labels[i] === k));
    const means = members.map((own) => [0, 1].map((c) => own.reduce((sum, i) => sum + f[2 * i + c], 0) / own.length));
    const objects = [...regions.keys()].filter((r) => regions[r] > 0);
    const rest = [...labels.keys()].filter((i) => labels[i] < 0);
    const from = (a, b) => [0, 1].map((c) => a[c] - b[c]), at = (i) => [f[2 * i], f[2 * i + 1]];
    // What moves: a point, or a mean, which moves with each of its members.
    const point = (i) => (name, x, y) => { gradient[name][2 * i] += x; gradient[name][2 * i + 1] += y; };
    const mean = (r) => (name, x, y) => { for (const i of members[r]) point(i)(name, x / members[r].length, y / members[r].length); };

    /** A squared hinge on the length of (x, y), from `one` to `other`: above a limit (side 1), or below it (side -1). */
    const hinge = (name, share, [x, y], one, other, side, limit) => {
      const distance = Math.max(Math.hypot(x, y), EPS), excess = side * (distance - limit);
      if (excess <= 0) return;
      value[name] += share * excess ** 2;
      const slope = (2 * side * share * excess) / distance;
      one(name, slope * x, slope * y);
      other(name, -slope * x, -slope * y);
    };
    /** Memberships of all points around (x, y). */
    const mask = (points, x, y) => Float64Array.from({ length: count }, (_, i) =>
      Math.exp(-Math.min(30, rate * ((points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2))));
    /** 1 - Dice of the mask of f around a centre, which moves, and a target q, which does not. */
    const dice = (name, share, centre, moves, q) => {
      const p = mask(f, ...centre);
      let overlap = 0, mass = 0;
      for (let i = 0; i < count; i++) { overlap += p[i] * q[i]; mass += p[i] ** 2 + q[i] ** 2; }
      mass = Math.max(mass, EPS);
      value[name] += share * (1 - (2 * overlap) / mass);
      for (let i = 0; i < count; i++) {
        const slope = -2 * rate * p[i] * share * ((-2 * q[i]) / mass + (4 * overlap * p[i]) / mass ** 2), [x, y] = from(at(i), centre);
        point(i)(name, slope * x, slope * y);
        moves(name, -slope * x, -slope * y);
      }
    };

    regions.forEach((_, r) => {
      for (const i of members[r]) {
        hinge("pull", 1 / (regions.length * members[r].length), from(at(i), means[r]), point(i), mean(r), 1, deltaVar);
      }
      regions.forEach((__, s) => { // push, each pair in both orders
        const share = 1 / (regions.length * (regions.length - 1));
        if (r !== s) hinge("push", share, from(means[r], means[s]), mean(r), mean(s), -1, 2 * deltaDist);
      });
      const [x, y] = means[r], length = Math.hypot(x, y), share = 1 / regions.length;
      value.regularizer += share * length;
      if (length) mean(r)("regularizer", (share * x) / length, (share * y) / length);
    });
    for (const r of objects) {
      dice("instance", 1 / objects.length, means[r], mean(r), Float64Array.from(labels, (k) => Number(k === regions[r])));
      for (const i of rest) {
        hinge("unlabeled_push", 1 / (objects.length * rest.length), from(at(i), means[r]), point(i), mean(r), -1, deltaDist);
      }
    }
    for (const m of anchors) dice("consistency", 1 / anchors.length, at(m), point(m), mask(g, g[2 * m], g[2 * m + 1]));
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
  function drawAnchors() {
    let left = [...labels.keys()].filter((i) => labels[i] < 0);
    const apart = (e, i, j) => Math.hypot(e[2 * i] - e[2 * j], e[2 * i + 1] - e[2 * j + 1]) >= data.deltaVar;
    state.anchors = [];
    while (left.length && state.anchors.length < 20) {
      const m = left[Math.floor(random() * left.length)];
      state.anchors.push(m);
      left = left.filter((i) => apart(state.f, i, m) && apart(state.g, i, m));
    }
  }

  // ---- state and controls

  const { rows, columns, labels, truth } = data, count = labels.length;
  const state = { chosen: data.chosen, held: false };

  function reset() {
    seed = 1;
    Object.assign(state, { f: Float64Array.from(data.f), g: Float64Array.from(data.g), steps: 0 });
    drawAnchors();
  }

  const switches = NAMES.map((name, i) => {
    const on = S.toggle(SHOWN[i], true);
    const slider = S.make("input", {
      type: "range", min: 0, max: name === "regularizer" ? 1 : 3, step: 0.001, value: data.weights[name], "aria-label": `weight of the term ${SHOWN[i]}`,
    });
    return { name, on, slider, cells: [S.make("span"), S.make("span")], get weight() { return on.value ? Number(slider.value) : 0; } };
  });
  const table = S.make("div", { class: "spoco-controls spoco-terms" },
    ...switches.flatMap(({ on, slider, cells }) => [on.element, slider, ...cells]));
  const plane = S.make("canvas", { tabindex: 0, role: "application", "aria-roledescription": "plane of points",
    "aria-label": "The points of the embedding. Page Down and Page Up choose a point, arrow keys move it." });
  const mask = S.canvas();
  const words = S.say();
  const play = S.player("Play", () => { descend(); self.draw(); });
  const rate = S.slider("step length", { min: 0.5, max: 20, step: 0.5, value: data.rate });
  const momentum = S.slider("momentum of g", { min: 0.8, max: 1, step: 0.005, value: data.momentum, digits: 3 });
  stage.append(
    S.make("style", {}, ".spoco-figure .spoco-terms { align-items: center; display: grid; gap: 0 0.8rem; grid-template-columns: auto minmax(3rem, 11rem) 3.9rem 3.6rem; justify-content: start; }" +
      ".spoco-figure .spoco-terms input[type=range] { max-width: 100%; width: 100%; }"),
    S.panels(S.panel("the embedding", plane, true),
      S.make("div", { class: "spoco-wide" }, S.panel("soft mask of the chosen point, in the picture", mask), table)),
    S.controls(play, S.button("Step", play.stop(descend)), S.button("Start again", play.stop(reset)), rate, momentum),
    words.element,
  );

  /** One step of gradient descent on the weighted sum of the terms that are on; g follows f. */
  function descend() {
    drawAnchors(); // new ones in every step, as in training
    const { gradient } = terms(state.f, state.g, labels, state.anchors);
    for (const { name, weight } of switches) {
      for (let i = 0; i < 2 * count; i++) {
        if (!(state.held && i >> 1 === state.chosen)) state.f[i] -= weight * rate.value * gradient[name][i];
      }
    }
    const m = momentum.value;
    for (let i = 0; i < 2 * count; i++) state.g[i] = m * state.g[i] + (1 - m) * state.f[i];
    state.steps++;
  }

  // ---- drawing and dragging

  let axes = null;
  const at = (i) => [state.f[2 * i], state.f[2 * i + 1]];

  function drawPlane(means, regions) {
    axes = S.axes(plane, { x: [-4.2, 4.2], y: [-3.2, 3.2], aspect: 0.85, equal: true, xlabel: "first component", ylabel: "second component" });
    axes.lineWidth = 1.5;
    for (let i = 0; i < count; i++) { // dots: annotated; rings: a leaf that nobody drew; small and grey: background
      axes.fillStyle = axes.strokeStyle = S.colourOf(data.palette, truth[i]);
      axes.dot(...at(i), truth[i] ? 3.5 : 2, truth[i] && labels[i] < 0 ? "stroke" : "fill");
    }
    axes.strokeStyle = axes.colour;
    means.forEach((mean, r) => {
      if (regions[r] <= 0) return;
      axes.dot(...mean, data.deltaVar * axes.scale, "stroke");
      axes.setLineDash([4, 4]);
      axes.dot(...mean, data.deltaDist * axes.scale, "stroke");
      axes.setLineDash([]);
    });
    const arm = 4 / axes.scale; // crosses: anchors of the consistency
    for (const m of switches[5].on.value ? state.anchors : []) {
      const [x, y] = at(m);
      for (const slant of [-arm, arm]) axes.line([[x - arm, y - slant], [x + arm, y + slant]]);
    }
    axes.ring(...at(state.chosen), 8);
  }

  function drawMask() {
    const rate = -Math.log(data.threshold) / data.deltaVar ** 2, c = state.chosen, [x, y] = at(c);
    S.veiled(mask, [], [rows, columns], (i) => {
      const [u, v] = at(i), p = Math.exp(-Math.min(30, rate * ((u - x) ** 2 + (v - y) ** 2)));
      return [...S.rgb(S.colourOf(data.palette, truth[i])).map((k) => 28 + (k - 28) * (0.2 + 0.8 * p)), 255];
    }).spot(c, 6);
    const kind = truth[c] ? `leaf ${truth[c]}${labels[c] < 0 ? ", which nobody drew" : ""}` : "background";
    S.name(mask, `The soft mask of point ${c}, a pixel of ${kind}.`);
  }

  const self = {
    state, terms, descend,
    at: (i) => { const box = plane.getBoundingClientRect(), [x, y] = at(i); return [box.left + axes.at(x), box.top + axes.up(y)]; },
    draw() {
      const { value, means, regions } = terms(state.f, state.g, labels, state.anchors);
      drawPlane(means, regions);
      drawMask();
      let total = 0;
      for (const { name, weight, slider, cells } of switches) {
        total += weight * value[name];
        cells[0].textContent = `× ${Number(slider.value).toFixed(3)}`;
        cells[1].textContent = value[name].toFixed(4);
      }
      self.value = value;
      (play.playing ? words.show : words.tell)(`Step ${state.steps}: weighted sum ${total.toFixed(3)}. ` +
        NAMES.map((name, i) => `${SHOWN[i]} ${value[name].toFixed(2)}`).join(", ") + ".");
    },
  };

  const within = (event) => { const box = plane.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const nearest = (event) => {
    const [x, y] = within(event);
    let best = -1, closest = event.pointerType === "mouse" ? 12 : 24;
    for (let i = 0; i < count; i++) {
      const [u, v] = at(i), away = Math.hypot(axes.at(u) - x, axes.up(v) - y);
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
    const [x, y] = within(event);
    state.f.set([axes.xOf(x), axes.yOf(y)], 2 * state.chosen);
    self.later();
  });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { state.held = false; });
  plane.addEventListener("touchstart", (event) => { // a finger on a point drags it, elsewhere it scrolls the page
    if (state.held) event.preventDefault();
  }, { passive: false });
  plane.addEventListener("keydown", (event) => {
    const way = S.arrow(event), next = { PageDown: 1, PageUp: -1 }[event.key], far = event.shiftKey ? 0.5 : 0.1;
    if (!way && !next) return;
    event.preventDefault();
    if (next) state.chosen = (state.chosen + next + count) % count;
    else state.f.set([at(state.chosen)[0] + far * way[0], at(state.chosen)[1] - far * way[1]], 2 * state.chosen);
  });
  reset();
  return self;
};
