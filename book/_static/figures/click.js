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
  const curve = S.make("canvas", { role: "img" });
  const words = S.say(), hovered = S.make("div", { "aria-hidden": "true", class: "spoco-title" });
  const sliders = {
    deltaVar: S.slider("delta_var", { min: 0.1, max: 2, step: 0.05, value: data.deltaVar }, () => self.later()),
    threshold: S.slider("kernel_threshold", { min: 0.05, max: 0.95, step: 0.05, value: data.threshold }, () => self.later()),
  };
  const stages = S.make("div"), which = S.make("div");
    stage.append(
    S.panels(...canvases.map((canvas, i) => S.panel(`soft mask in ${"fg"[i]}`, canvas)), S.panel("membership of every pixel, in f", curve, true)), hovered, words.element,
    S.controls(which, stages, sliders.deltaVar, sliders.threshold),
  );
  const cursors = canvases.map((canvas, i) => S.pointer(canvas, {
    rows: now().truth.shape[0], columns: now().truth.shape[1], label: `${now().title}, and the soft mask in ${"fg"[i]}.`,
    pick: (row, column) => { state.pixel = row * now().truth.shape[1] + column; self.later(); },
    over: (row, column) => { state.hover = row === undefined ? -1 : row * now().truth.shape[1] + column; self.later(); },
    moved: () => self.later(),
  }));

  function offer() { // the choices: which image, and after how many steps
    const chooser = S.choice("network trained for", now().stages.map(([name]) => name), state.stage,
      (i) => { state.stage = i; self.later(); });
    stages.replaceChildren(chooser.element);
    self.stages = chooser;
    if (scenes.length > 1 && !which.firstChild) {
      self.scenes = S.choice("image", scenes.map((s) => s.title), 0, (i) => {
        Object.assign(state, { scene: i, stage: scenes[i].stages.length - 1, pixel: scenes[i].start, hover: -1 });
        offer();
        self.later();
      });
      which.append(self.scenes.element);
    }
  }

  /** Distances and masks of the chosen pixel in f and in g. */
  function compute() {
    const [, f, g] = now().stages[state.stage];
    const squared = [f, g].map((embedding) => squaredDistances(embedding, state.pixel));
    const masks = squared.map((s) => s.map((d) => kernel(d, sliders.deltaVar.value, sliders.threshold.value)));
    return { squared, masks, iou: softIou(...masks) };
  }

  function drawMask(canvas, mask, cursor) {
    const { picture, truth } = now(), [rows, columns] = truth.shape;
    const context = S.fresh(canvas, rows / columns);
    context.imageSmoothingEnabled = true;
    context.drawImage(picture, 0, 0, context.wide, context.high);
    const veil = new Uint8ClampedArray(4 * mask.length), colour = S.rgb(S.colourOf(data.palette, truth[state.pixel] || 1));
    for (let i = 0; i < mask.length; i++) { // what is not chosen is dimmed, what is chosen is tinted
      const p = mask[i];
      for (let c = 0; c < 3; c++) veil[4 * i + c] = p * colour[c];
      veil[4 * i + 3] = 255 * (0.5 + 0.2 * p);
    }
    S.paint(context, veil, columns, rows, true);
    const spot = (i, size) => S.ring(context, (((i % columns) + 0.5) / columns) * context.wide,
      ((Math.floor(i / columns) + 0.5) / rows) * context.high, size);
    spot(state.pixel, 6);
    if (state.hover >= 0) spot(state.hover, 3);
    if (cursor) spot(cursor[0] * columns + cursor[1], 9);
  }

  function drawCurve(squared) {
    const { truth } = now(), deltaVar = sliders.deltaVar.value, threshold = sliders.threshold.value;
    const reach = 4 * Math.max(1, deltaVar);
    const context = S.axes(curve, { x: [0, reach], y: [-0.03, 1.05], xlabel: "distance to the clicked pixel", ylabel: "membership", aspect: 1 });
    context.strokeStyle = context.colour;
    context.lineWidth = 1.5;
    context.beginPath();
    for (let d = 0; d <= reach; d += reach / 200) context.lineTo(context.at(d), context.up(kernel(d * d, deltaVar, threshold)));
    context.stroke();
    const dot = (i, radius) => {
      const distance = Math.min(reach, Math.sqrt(squared[i]));
      context.beginPath();
      context.arc(context.at(distance), context.up(kernel(distance ** 2, deltaVar, threshold)), radius, 0, 2 * Math.PI);
      context.fill();
    };
    for (const objects of [false, true]) { // soil first, objects over it
      for (let i = 0; i < squared.length; i++) {
        if ((truth[i] > 0) !== objects) continue;
        context.fillStyle = S.colourOf(data.palette, truth[i]);
        dot(i, objects ? 3 : 2);
      }
    }
    S.ring(context, context.at(deltaVar), context.up(threshold), 5);
    if (state.hover >= 0) {
      const distance = Math.min(reach, Math.sqrt(squared[state.hover]));
      S.ring(context, context.at(distance), context.up(kernel(distance ** 2, deltaVar, threshold)), 7);
    }
  }

  const self = {
    state, sliders, compute, kernel, canvases, curve, scenesData: scenes,
    draw() {
      const { squared, masks, iou } = compute(), columns = now().truth.shape[1];
      canvases.forEach((canvas, i) => drawMask(canvas, masks[i], cursors[i].cursor));
      drawCurve(squared[0]);
      const near = squared[0].reduce((count, d) => count + (d <= sliders.deltaVar.value ** 2), 0);
      const label = now().truth[state.pixel], thing = label > 0 ? `${now().thing} ${label}` : now().ground;
      const size = now().truth.reduce((count, k) => count + (k === label), 0);
      words.tell(
        `Chosen: ${thing}, row ${Math.floor(state.pixel / columns)}, column ${state.pixel % columns}. ` +
        `The masks in f and g have an IoU of ${iou.toFixed(2)}. ` +
        `In f ${near} pixels lie within delta_var${label > 0 ? `; the ${now().thing} has ${size}` : ""}.`,
      );
      curve.setAttribute("aria-label", `The kernel's curve: membership ${sliders.threshold.value.toFixed(2)} at distance ` +
        `${sliders.deltaVar.value.toFixed(2)}, and a dot for every pixel.`);
      hovered.textContent = state.hover < 0 ? "" : `pointer: ${Math.sqrt(squared[0][state.hover]).toFixed(2)} away in f, ` +
        `${Math.sqrt(squared[1][state.hover]).toFixed(2)} in g`;
    },
  };
  offer();
  return self;
};
