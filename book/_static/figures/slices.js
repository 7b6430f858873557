/* Slices: a volume, slice by slice: image, objects, embeddings. Each lies in one tall picture, slice below slice. */
spoco.figures.slices = async (data, stage) => {
  "use strict";
  const S = spoco;
  const labels = await S.unpack(data.labels), [depth, rows, columns] = labels.shape, size = rows * columns;
  const tall = await Promise.all(data.pictures.map(([, url]) => S.image(url)));
  const names = [...data.pictures.map(([name]) => name), data.title];
  const canvases = names.map(S.canvas);
  const words = S.say();
  const slice = S.slider("slice", { min: 0, max: depth - 1, step: 1, value: depth >> 1, unit: ` of ${depth - 1}` });
  const outline = S.toggle("objects over the image", false);
  stage.append(S.panels(...canvases.map((canvas, i) => S.panel(names[i], canvas))), S.controls(slice, outline), words.element);
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  S.name(stage, "Slices of a volume. Arrow keys go up and down, Home and End to the first and the last.");
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage) return;
    const z = slice.value, to = { ArrowUp: z + 1, ArrowRight: z + 1, ArrowDown: z - 1, ArrowLeft: z - 1, PageUp: z + 5, PageDown: z - 5, Home: 0, End: depth - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  });
  for (const canvas of canvases) { // a swipe or a drag to the side turns the slices
    let from = null;
    canvas.style.touchAction = "pan-y";
    canvas.addEventListener("pointerdown", (event) => { from = [event.clientX, slice.value]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => { if (from) go(from[1] + Math.round((event.clientX - from[0]) / 8)); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  }
  function go(z) {
    slice.value = z; // within its bounds
    self.later();
  }

  const self = {
    slice, go,
    objects: () => [...new Set(labels.subarray(slice.value * size, (slice.value + 1) * size))].filter((k) => k > 0).length,
    draw() {
      const z = slice.value, start = z * size, solid = tall.length; // the last picture is of objects alone
      canvases.forEach((canvas, i) => {
        const veil = (j) => {
          const k = labels[start + j];
          if (k > 0 && (i === solid || (!i && outline.value))) return [...S.rgb(S.colourOf(data.palette, k)), i === solid ? 255 : 120];
          return [33, 36, 43, i === solid ? 255 : 0];
        };
        const picture = i === solid ? [] : [tall[i], 0, z * rows, columns, rows];
        S.veiled(canvas, picture, [rows, columns], veil, { aspect: data.aspect });
        S.name(canvas, `${names[i]}, slice ${z} of ${depth - 1}`);
      });
      words.tell(`Slice ${z} of ${depth - 1}${data.spacing ? `, ${(z * data.spacing).toFixed(1)} µm deep` : ""}: ${S.counted(self.objects(), "object")}.`);
    },
  };
  return self;
};
