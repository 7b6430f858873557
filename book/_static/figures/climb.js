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
    let fresh = Math.max(0, ...truth);
    return modes.map((_, m) => (owner.get(wish.get(m)) === m ? wish.get(m) : ++fresh));
  }

  const state = {};
  const plane = S.canvas(), map = S.canvas();
  const words = S.say();
  const play = S.player("Climb", () => { advance(); self.draw(); return !state.still; }, 180); // slow enough for the eye
  play.element.addEventListener("click", () => { if (state.still) reset(); });
  const bandwidth = S.slider("bandwidth", { min: 0.1, max: 4, step: 0.05, value: data.bandwidth }, () => { reset(); finish(); });
  const shown = S.toggle("colour by true object", false);
  stage.append(
    S.panels(S.panel("the pixels as points, and the seeds", plane, true), S.panel("the picture, by the mode each pixel goes to", map, true)),
    S.controls(bandwidth, play, S.button("Step", play.stop(advance)), S.button("To the end", play.stop(finish)),
      S.button("Start again", play.stop(reset)), shown),
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

  function finish() {
    for (let n = 0; n < 60 && !state.still; n++) advance();
  }

  const range = (values) => [Math.min(...values) - 0.6, Math.max(...values) + 0.6];
  const across = range(right), along = range(down);

  const self = {
    state, bandwidth, step, modesOf, nearest, advance, reset, finish,
    draw() {
      const chart = S.axes(plane, { x: across, y: [along[1], along[0]], equal: true, aspect: 0.9, xlabel: "second component", ylabel: "first component" });
      const of = (i) => (shown.value ? truth[pixels[i]] : state.member[i] < 0 ? 0 : state.colours[state.member[i]]);
      const veil = Array.from({ length: rows * columns }, () => [0, 0, 0, 140]);
      for (let i = 0; i < count; i++) {
        const colour = S.colourOf(data.palette, of(i));
        chart.fillStyle = colour;
        chart.fillRect(chart.at(right[i]) - 1.5, chart.up(down[i]) - 1.5, 3, 3);
        veil[pixels[i]] = [...S.rgb(colour), 190];
      }
      for (const path of state.paths) chart.line(path.map(([x, y]) => [y, x]), { width: 1 });
      for (let s = 0; s < state.paths.length; s++) chart.ring(state.seeds[2 * s + 1], state.seeds[2 * s], 2);
      const radius = bandwidth.value * chart.scale; // a circle as wide as the bandwidth, in a corner
      chart.dot(chart.xOf(chart.left + radius + 4), chart.yOf(chart.top + chart.rise - radius - 4), radius, "stroke");
      S.veiled(map, [picture], truth.shape, (i) => veil[i]);
      const text = `Bandwidth ${bandwidth.value.toFixed(2)}, step ${state.steps}: ${S.counted(state.modes.length, "mode")} by now` +
        `${state.still ? ", and no seed moves any more" : ""}; ${data.objects} true objects.`;
      (play.playing ? words.show : words.tell)(text);
      S.name(plane, `${count} points and ${data.seeds.length} seeds. ${text}`);
      S.name(map, `The picture; each pixel of the foreground in the colour of its mode. ${text}`);
    },
  };
  reset();
  return self;
};
