/* Accept or reject: consistency clustering, candidate by candidate, and the threshold that decides. */
spoco.figures.accept = async (data, stage) => {
  "use strict";
  const S = spoco;
  const g = await S.unpack(data.g), candidates = await S.unpack(data.candidates), truth = await S.unpack(data.truth);
  const picture = await S.image(data.image), [rows, columns] = truth.shape, count = rows * columns;
  const dims = g.shape[0], total = data.drawn.length, radius = 2 * data.deltaVar;
  const sizes = new Int32Array(total + 1);
  for (const k of candidates) sizes[k]++;

  /** The mask of a pixel in g: those nearer than 2 delta_var. */
  function maskOf(pixel) {
    const mask = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      let squared = 0;
      for (let e = 0; e < dims; e++) squared += (g[e * count + i] - g[e * count + pixel]) ** 2;
      mask[i] = squared < radius * radius ? 1 : 0;
    }
    return mask;
  }

  function iouWith(k, mask) {
    let shared = 0, size = 0;
    for (let i = 0; i < count; i++) if (mask[i]) { size++; if (candidates[i] === k) shared++; }
    return shared / (size + sizes[k] - shared);
  }

  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b), middle = (sorted.length - 1) / 2;
    return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  };
  const ious = data.drawn.map((pixels, k) => pixels.map((p) => iouWith(k + 1, maskOf(p))));
  const medians = ious.map(median);

  // The score: how well the best partner covers each object, in both directions (spoco_lite.metrics.symmetric_best_dice).
  const ids = [...new Set(truth)].filter((k) => k > 0), trueSize = new Map(ids.map((k) => [k, 0]));
  const overlap = ids.map(() => new Int32Array(total + 1));
  truth.forEach((k, i) => { if (k > 0) { trueSize.set(k, trueSize.get(k) + 1); overlap[ids.indexOf(k)][candidates[i]]++; } });
  function score(threshold) {
    const kept = medians.flatMap((m, k) => (m >= threshold ? [k + 1] : []));
    if (!kept.length || !ids.length) return { kept, sbd: kept.length || ids.length ? 0 : 1 };
    const dice = (row, k) => (2 * overlap[row][k]) / (trueSize.get(ids[row]) + sizes[k]);
    const forth = ids.reduce((sum, _, row) => sum + kept.reduce((best, k) => Math.max(best, dice(row, k)), 0), 0) / ids.length;
    const back = kept.reduce((sum, k) => sum + ids.reduce((best, _, row) => Math.max(best, dice(row, k)), 0), 0) / kept.length;
    return { kept, sbd: Math.min(forth, back) };
  }
  const curve = Array.from({ length: 101 }, (_, n) => [n / 100, score(n / 100).sbd]);

  const [chosen, copy, dots, result, scores] = Array.from({ length: 5 }, S.canvas);
  const words = S.say();
  const candidate = S.slider("candidate", { min: 1, max: total, step: 1, value: data.candidate, unit: ` of ${total}` },
    () => { pixel.value = 1; });
  const pixel = S.slider("pixel drawn from it", { min: 1, max: data.drawn[0].length, step: 1, value: 1 });
  const threshold = S.slider("threshold", { min: 0, max: 1, step: 0.01, value: data.threshold });
  const go = (way) => { candidate.value += way; candidate.input.dispatchEvent(new Event("input")); };
  stage.append(
    S.panels(S.panel("candidate S of f", chosen), S.panel("copy of one pixel in g", copy), S.panel("IoU of S with 20 copies", dots, true)),
    S.controls(candidate, S.button("Previous", () => go(-1)), S.button("Next", () => go(1)), pixel),
    S.panels(S.panel("accepted candidates", result), S.panel("SBD over the threshold", scores)),
    S.controls(threshold),
    words.element,
  );

  /** The picture, dimmed, with some pixels in colour. */
  const over = (canvas, colourAt) => S.veiled(canvas, [picture], truth.shape, (i) => {
    const colour = colourAt(i);
    return colour ? [...S.rgb(colour), 190] : [0, 0, 0, 120];
  });

  return {
    threshold, candidate, medians, ious, score,
    draw() {
      const k = candidate.value, j = pixel.value - 1, drawn = data.drawn[k - 1], own = ious[k - 1], colour = S.colourOf(data.palette, data.colours[k - 1]);
      const { kept, sbd } = score(threshold.value), accepted = medians[k - 1] >= threshold.value;
      const first = over(chosen, (i) => candidates[i] === k && colour);
      for (const p of drawn) first.spot(p, 2);
      first.spot(drawn[j], 6);
      const mask = maskOf(drawn[j]);
      over(copy, (i) => mask[i] && (candidates[i] === k ? colour : "#ffffff")).spot(drawn[j], 6);

      const chart = S.axes(dots, { x: [0.5, own.length + 0.5], y: [0, 1], xlabel: "pixels, sorted", ylabel: "IoU with S", aspect: 1 });
      const level = (value, dash) => chart.line([[0.5, value], [own.length + 0.5, value]], { dash });
      level(medians[k - 1], []);
      level(threshold.value, [5, 4]);
      chart.fillStyle = colour;
      [...own.keys()].sort((a, b) => own[a] - own[b]).forEach((i, n) => {
        chart.dot(n + 1, own[i], 3.5);
        if (i === j) chart.ring(n + 1, own[i], 5);
      });
      chart.fillStyle = chart.colour;
      chart.textAlign = "left";
      chart.textBaseline = "bottom";
      chart.fillText("median", chart.left + 4, chart.up(medians[k - 1]) - 2);
      chart.textAlign = "right";
      chart.fillText("threshold", chart.left + chart.span, chart.up(threshold.value) - 2);

      const keep = new Set(kept);
      over(result, (i) => keep.has(candidates[i]) && S.colourOf(data.palette, data.colours[candidates[i] - 1]));
      const line = S.axes(scores, { x: [0, 1], y: [0, 1], xlabel: "threshold", ylabel: "SBD", aspect: rows / columns });
      line.line(curve);
      line.ring(threshold.value, sbd, 5);

      words.tell(
        `Candidate ${k}, ${sizes[k]} pixels: median IoU ${medians[k - 1].toFixed(2)}, ${accepted ? "accepted" : "rejected"} ` +
        `at ${threshold.value.toFixed(2)}. Of ${total} candidates ${kept.length} are kept, of ${ids.length} true objects; SBD ${sbd.toFixed(2)}.`,
      );
      S.name(chosen, `The image with candidate ${k} in colour and ${drawn.length} pixels drawn from it.`);
      S.name(copy, `What pixel ${j + 1} selects in g: IoU ${own[j].toFixed(2)} with the candidate.`);
      S.name(dots, `The ${own.length} IoUs, their median ${medians[k - 1].toFixed(2)}, and the threshold.`);
      S.name(result, `The image with the ${kept.length} accepted candidates in colour.`);
      S.name(scores, `SBD over the threshold; at ${threshold.value.toFixed(2)} it is ${sbd.toFixed(2)}.`);
    },
  };
};
