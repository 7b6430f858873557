/* Click a leaf: the soft mask of a clicked pixel in f and in g, and the kernel that makes it. */
spoco.figures.click = async (data, stage) => {
  "use strict";
  const S = spoco;
  const NEGLIGIBLE = 30; // beyond exp(-30) the module's kernel is flat

  /** The kernel of spoco_lite.selection.GaussianKernel. */
  const kernel = (squared, deltaVar, threshold) =>
    Math.exp(-Math.min(NEGLIGIBLE, (squared * -Math.log(threshold)) / deltaVar ** 2));

  /** Squared distances of all pixels of an embedding (E, Y, X) to pixel number `anchor`. */
  function squaredDistances(embedding, anchor) {
    const [dims, rows, columns] = embedding.shape, pixels = rows * columns, result = new Float32Array(pixels);
    for (let e = 0; e < dims; e++) {
      const here = embedding[e * pixels + anchor];
      for (let i = 0; i < pixels; i++) result[i] += (embedding[e * pixels + i] - here) ** 2;
    }
    return result;
  }

  /** How much two soft masks agree: the sum of the smaller memberships over that of the larger. */
  function softIou(p, q) {
    let smaller = 0, larger = 0;
    for (let i = 0; i < p.length; i++) {
      smaller += Math.min(p[i], q[i]);
      larger += Math.max(p[i], q[i]);
    }
    return smaller / larger;
  }

  const scenes = await Promise.all(data.scenes.map(async (scene) => ({
    ...scene,
    picture: await S.image(scene.image),
    truth: await S.unpack(scene.truth),
    stages: await Promise.all(scene.stages.map(async ([name, f, g]) => [name, await S.unpack(f), await S.unpack(g)])),
  })));
  const state = { scene: 0, stage: scenes[0].stages.length - 1, pixel: scenes[0].start, hover: -1 };
  const now = () => scenes[state.scene];

  const canvases = ["f", "g"].map(() => S.make("canvas"));
  const curve = S.canvas();
  const words = S.say(), hovered = S.make("div", { "aria-hidden": "true", class: "spoco-title" });
  const sliders = {
    deltaVar: S.slider("delta_var", { min: 0.1, max: 2, step: 0.05, value: data.deltaVar }),
    threshold: S.slider("kernel_threshold", { min: 0.05, max: 0.95, step: 0.05, value: data.threshold }),
  };
  const stages = S.make("div");
  const which = scenes.length > 1 ? S.choice("image", scenes.map((s) => s.title), 0, show) : S.make("div");
  stage.append(
    S.panels(...canvases.map((canvas, i) => S.panel(`soft mask in ${"fg"[i]}`, canvas)), S.panel("membership of every pixel, in f", curve, true)), hovered, words.element,
    S.controls(which, stages, sliders.deltaVar, sliders.threshold),
  );
  const at = (row, column) => row * now().truth.shape[1] + column;
  const cursors = canvases.map((canvas, i) => S.pointer(canvas, {
    rows: now().truth.shape[0], columns: now().truth.shape[1], label: `${now().title}, and the soft mask in ${"fg"[i]}.`,
    pick: (row, column) => { state.pixel = at(row, column); },
    over: (row, column) => { state.hover = row === undefined ? -1 : at(row, column); self.later(); },
  }));

  function show(i) { // an image, as its last network sees it
    Object.assign(state, { scene: i, stage: scenes[i].stages.length - 1, pixel: scenes[i].start, hover: -1 });
    const names = now().stages.map(([name]) => name);
    stages.replaceChildren(S.choice("network trained for", names, state.stage, (j) => { state.stage = j; }).element);
  }

  /** Distances and masks of the chosen pixel in f and in g. */
  function compute() {
    const [, f, g] = now().stages[state.stage];
    const squared = [f, g].map((embedding) => squaredDistances(embedding, state.pixel));
    const masks = squared.map((s) => s.map((d) => kernel(d, sliders.deltaVar.value, sliders.threshold.value)));
    return { squared, masks, iou: softIou(...masks) };
  }

  function drawMask(canvas, mask, cursor) {
    const { picture, truth } = now(), colour = S.rgb(S.colourOf(data.palette, truth[state.pixel] || 1));
    // What is not chosen is dimmed, what is chosen is tinted.
    const veil = (i) => [...colour.map((c) => mask[i] * c), 255 * (0.5 + 0.2 * mask[i])];
    const context = S.veiled(canvas, [picture], truth.shape, veil, { smooth: true });
    context.spot(state.pixel, 6);
    if (state.hover >= 0) context.spot(state.hover, 3);
    if (cursor) context.spot(at(...cursor), 9);
  }

  function drawCurve(squared) {
    const { truth } = now(), deltaVar = sliders.deltaVar.value, threshold = sliders.threshold.value;
    const reach = 4 * Math.max(1, deltaVar);
    const chart = S.axes(curve, { x: [0, reach], y: [-0.03, 1.05], xlabel: "distance to the clicked pixel", ylabel: "membership", aspect: 1 });
    const above = (distance) => [distance, kernel(distance ** 2, deltaVar, threshold)];
    const place = (i) => above(Math.min(reach, Math.sqrt(squared[i])));
    chart.line(Array.from({ length: 201 }, (_, n) => above((n * reach) / 200)));
    for (const objects of [false, true]) { // soil first, objects over it
      for (let i = 0; i < squared.length; i++) {
        if ((truth[i] > 0) !== objects) continue;
        chart.fillStyle = S.colourOf(data.palette, truth[i]);
        chart.dot(...place(i), objects ? 3 : 2);
      }
    }
    chart.ring(deltaVar, threshold, 5);
    if (state.hover >= 0) chart.ring(...place(state.hover), 7);
  }

  const self = {
    state, sliders, compute, kernel,
    draw() {
      const { squared, masks, iou } = compute(), { truth, thing, ground } = now(), columns = truth.shape[1];
      canvases.forEach((canvas, i) => drawMask(canvas, masks[i], cursors[i].cursor));
      drawCurve(squared[0]);
      const near = squared[0].reduce((count, d) => count + (d <= sliders.deltaVar.value ** 2), 0);
      const label = truth[state.pixel], size = truth.reduce((count, k) => count + (k === label), 0);
      words.tell(
        `Chosen: ${label > 0 ? `${thing} ${label}` : ground}, row ${Math.floor(state.pixel / columns)}, column ${state.pixel % columns}. ` +
        `The masks in f and g have an IoU of ${iou.toFixed(2)}. ` +
        `In f ${near} pixels lie within delta_var${label > 0 ? `; the ${thing} has ${size}` : ""}.`,
      );
      S.name(curve, `The kernel's curve: membership ${sliders.threshold.value.toFixed(2)} at distance ` +
        `${sliders.deltaVar.value.toFixed(2)}, and a dot for every pixel.`);
      hovered.textContent = state.hover < 0 ? "" : `pointer: ${Math.sqrt(squared[0][state.hover]).toFixed(2)} away in f, ` +
        `${Math.sqrt(squared[1][state.hover]).toFixed(2)} in g`;
    },
  };
  show(0);
  return self;
};
