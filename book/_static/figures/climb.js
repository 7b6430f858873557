/* Climb: mean-shift in the plane of two components; the pixels take the colour of the mode that their seed reaches. */
spoco.figures.climb = async (data, stage) => {
  "use strict";
  const S = spoco;
  const points = await S.unpack(data.points), truth = await S.unpack(data.truth), picture = await S.image(data.image);
  const count = points.shape[1], down = points.subarray(0, count), right = points.subarray(count);
  const pixels = await S.unpack(data.pixels), [rows, columns] = truth.shape; // which pixel of the image each point is
  const MERGE = 1.5, FEWEST = 16, NEAR = 1e-3; // as in spoco_lite.clusterers.mean_shift

  /** One step uphill: each seed goes to the mean of the points within the bandwidth. Seeds are [x0, y0, x1, y1, ...]. */
  function step(seeds, bandwidth) {
    const moved = new Float64Array(seeds.length), weight = new Int32Array(seeds.length / 2);
    for (let s = 0; s < weight.length; s++) {
      let x = 0, y = 0, near = 0;
      for (let i = 0; i < count; i++) {
        if ((down[i] - seeds[2 * s]) ** 2 + (right[i] - seeds[2 * s + 1]) ** 2 > bandwidth ** 2) continue;
        x += down[i]; y += right[i]; near++;
      }
      weight[s] = near;
      moved[2 * s] = near ? x / near : seeds[2 * s];
      moved[2 * s + 1] = near ? y / near : seeds[2 * s + 1];
    }
    return { moved, weight };
  }

  /** The modes that stay when, the heaviest first, each removes the others within 1.5 bandwidths. */
  function modesOf(seeds, weight, bandwidth) {
    const order = [...weight.keys()].filter((s) => weight[s] >= FEWEST).sort((a, b) => weight[b] - weight[a] || a - b);
    const stay = [];
    for (const s of order) {
      if (stay.every(([x, y]) => Math.hypot(x - seeds[2 * s], y - seeds[2 * s + 1]) > MERGE * bandwidth)) {
        stay.push([seeds[2 * s], seeds[2 * s + 1]]);
      }
    }
    return stay;
  }

  /** The nearest mode of each point, by number. */
  const nearest = (modes) => Int32Array.from({ length: count }, (_, i) => {
    let best = -1, closest = Infinity;
    modes.forEach(([x, y], m) => {
      const squared = (down[i] - x) ** 2 + (right[i] - y) ** 2;
      if (squared < closest) { closest = squared; best = m; }
    });
    return best;
  });

  /** For each cluster the true object that it covers most, the largest overlap first; the others get new numbers. */
  function match(member, modes) {
    const overlap = modes.map(() => new Map());
    member.forEach((m, i) => {
      const k = truth[pixels[i]];
      if (m >= 0 && k > 0) overlap[m].set(k, (overlap[m].get(k) || 0) + 1);
    });
    const pairs = overlap.flatMap((of, m) => [...of].map(([k, n]) => [n, m, k])).sort((a, b) => b[0] - a[0]);
    const wish = new Map(), owner = new Map();
    for (const [, m, k] of pairs) if (!wish.has(m)) { wish.set(m, k); if (!owner.has(k)) owner.set(k, m); }
    let fresh = truth.reduce((a, b) => Math.max(a, b), 0);
    return modes.map((_, m) => (owner.get(wish.get(m)) === m ? wish.get(m) : ++fresh));
  }

  const state = { steps: 0, seeds: null, paths: [], playing: false, weight: null, member: null, modes: [], still: false };
  const plane = S.make("canvas", { role: "img" }), map = S.make("canvas", { role: "img" });
  const words = S.say();
  const play = S.button("Climb", () => run(!state.playing));
  const bandwidth = S.slider("bandwidth", { min: 0.1, max: 4, step: 0.05, value: data.bandwidth }, () => { reset(); self.finish(); });
  const shown = S.toggle("colour by true object", false, () => self.later());
  stage.append(
    S.panels(S.panel("the pixels as points, and the seeds", plane, true), S.panel("the picture, by the mode each pixel goes to", map, true)),
    S.controls(bandwidth, play, S.button("Step", () => { run(false); advance(); self.later(); }),
      S.button("To the end", () => { run(false); self.finish(); }),
      S.button("Start again", () => { run(false); reset(); self.later(); }), shown),
    words.element,
  );

  function reset() {
    state.seeds = Float64Array.from(data.seeds.flatMap((i) => [down[i], right[i]]));
    state.paths = data.seeds.map((_, s) => [[state.seeds[2 * s], state.seeds[2 * s + 1]]]);
    state.weight = step(state.seeds, bandwidth.value).weight;
    Object.assign(state, { steps: 0, still: false });
    group();
  }

  function group() {
    state.modes = modesOf(state.seeds, state.weight, bandwidth.value);
    state.member = nearest(state.modes);
    state.colours = match(state.member, state.modes);
  }

  function advance() {
    const { moved, weight } = step(state.seeds, bandwidth.value);
    state.still = moved.every((v, i) => Math.abs(v - state.seeds[i]) < NEAR * bandwidth.value);
    Object.assign(state, { seeds: moved, weight });
    state.paths.forEach((path, s) => path.push([moved[2 * s], moved[2 * s + 1]]));
    state.steps++;
    group();
  }

  function run(playing) {
    state.playing = playing;
    play.textContent = playing ? "Pause" : "Climb";
    if (!playing) return;
    if (state.still) reset();
    let last = 0;
    const frame = (time) => {
      if (!state.playing || !stage.isConnected) return;
      if (time - last > 180) { // slow enough for the eye
        last = time;
        advance();
        self.draw();
        if (state.still) return run(false);
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  const range = (values) => {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    return [low - 0.6, high + 0.6];
  };
  const across = range(right), along = range(down);

  const self = {
    state, bandwidth, step, modesOf, nearest, advance, reset, run,
    finish() {
      for (let n = 0; n < 60 && !state.still; n++) advance();
      self.later();
    },
    draw() {
      const context = S.axes(plane, { x: across, y: [along[1], along[0]], equal: true, aspect: 0.9, xlabel: "second component", ylabel: "first component" });
      const of = (i) => (shown.value ? truth[pixels[i]] : state.member[i] < 0 ? 0 : state.colours[state.member[i]]);
      for (let i = 0; i < count; i++) {
        context.fillStyle = S.colourOf(data.palette, of(i));
        context.fillRect(context.at(right[i]) - 1.5, context.up(down[i]) - 1.5, 3, 3);
      }
      context.strokeStyle = context.colour;
      context.lineWidth = 1;
      context.beginPath();
      for (const path of state.paths) path.forEach(([x, y], n) => context[n ? "lineTo" : "moveTo"](context.at(y), context.up(x)));
      context.stroke();
      for (let s = 0; s < state.paths.length; s++) S.ring(context, context.at(state.seeds[2 * s + 1]), context.up(state.seeds[2 * s]), 2);
      context.strokeStyle = context.colour;
      context.lineWidth = 1.5;
      context.beginPath(); // a circle as wide as the bandwidth
      const radius = bandwidth.value * context.scale, corner = [context.left + radius + 4, context.top + context.rise - radius - 4];
      context.arc(...corner, radius, 0, 2 * Math.PI);
      context.stroke();

      const picked = S.fresh(map, rows / columns);
      picked.imageSmoothingEnabled = true;
      picked.drawImage(picture, 0, 0, picked.wide, picked.high);
      const veil = new Uint8ClampedArray(4 * rows * columns).map((_, i) => (i % 4 === 3 ? 140 : 0));
      for (let i = 0; i < count; i++) {
        const colour = S.rgb(S.colourOf(data.palette, of(i)));
        veil.set([...colour, 190], 4 * pixels[i]);
      }
      S.paint(picked, veil, columns, rows);
      const found = state.modes.length, text = `Bandwidth ${bandwidth.value.toFixed(2)}, step ${state.steps}: ` +
        `${found} ${found === 1 ? "mode" : "modes"} by now${state.still ? ", and no seed moves any more" : ""}; ${data.objects} true objects.`;
      (state.playing ? words.show : words.tell)(text);
      plane.setAttribute("aria-label", `${count} points and ${data.seeds.length} seeds. ${text}`);
      map.setAttribute("aria-label", `The picture; each pixel of the foreground in the colour of its mode. ${text}`);
    },
  };
  reset();
  return self;
};
