/* What figures share: data, controls, their life; drawing.js adds drawing. Plain JavaScript, nothing is loaded or built.
   A figure is a function (data, stage) => {draw, ...}, registered as spoco.figures.NAME. Its HTML comes from
   spoco_lite/show/figures. */
window.spoco = window.spoco || (() => {
  "use strict";

  const STYLE = `
.spoco-figure { color: inherit; display: block; margin: 1.5rem 0; max-width: 900px; padding: 0; }
.spoco-figure .spoco-live { font-size: 0.92rem; line-height: 1.45; position: relative; }
.spoco-figure .spoco-still { display: block; height: auto; max-width: 100%; }
.spoco-figure figcaption { font-size: 0.92rem; margin-top: 0.5rem; text-align: left; }
.spoco-panels { display: grid; gap: 0.6rem 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); }
.spoco-panels > div { min-width: 0; }
.spoco-title { font-weight: 600; min-height: 1.45em; }
.spoco-figure canvas { border-radius: 3px; display: block; margin: 0; max-width: none; width: 100%; }
.spoco-figure canvas[tabindex] { cursor: crosshair; }
.spoco-figure :focus-visible { outline: 3px solid #0a7d74; outline-offset: 2px; }
.spoco-dark :focus-visible { outline-color: #5fd4c8; }
.spoco-controls { align-items: end; display: flex; flex-wrap: wrap; gap: 0.5rem 1.2rem; margin: 0.7rem 0; }
.spoco-controls label { display: inline-flex; flex-direction: column; gap: 0.1rem; margin: 0; }
.spoco-controls label.spoco-row { align-items: center; flex-direction: row; gap: 0.4rem; min-height: 2rem; }
.spoco-controls fieldset { border: 0; display: flex; flex-wrap: wrap; gap: 0 0.9rem; margin: 0; min-width: 0; padding: 0; }
.spoco-controls legend { float: none; font: inherit; font-weight: 600; margin: 0; padding: 0; width: auto; }
.spoco-controls input[type="range"] { accent-color: #0a7d74; height: 1.8rem; margin: 0; width: 11rem; max-width: 78vw; }
.spoco-controls input[type="checkbox"], .spoco-controls input[type="radio"] { accent-color: #0a7d74; flex: none; height: 1.1rem; margin: 0; width: 1.1rem; }
.spoco-controls button { background: transparent; border: 1px solid currentColor; border-radius: 4px; color: inherit; font: inherit; min-height: 2.2rem; padding: 0.2rem 0.8rem; }
.spoco-controls output { font-variant-numeric: tabular-nums; }
.spoco-say { font-variant-numeric: tabular-nums; margin: 0.4rem 0; min-height: 2.9em; }
@media (max-width: 500px) {
  .spoco-panels { gap: 0.5rem; grid-template-columns: repeat(2, 1fr); }
  .spoco-panels > .spoco-wide { grid-column: 1 / -1; }
}
@media print { .spoco-controls { display: none; } }`;

  // ---- data

  /** Numbers that Python packed (figures/packing.py): a Float32Array with its `shape`. */
  async function unpack(packed) {
    const text = atob(packed.data);
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = planes.length / 2, width = packed.shape[packed.shape.length - 1];
    const whole = new Int32Array(count), values = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const zigzag = planes[i] + 256 * planes[count + i];
      const difference = zigzag & 1 ? -(zigzag + 1) / 2 : zigzag / 2;
      const before = i % width ? whole[i - 1] : i ? whole[i - width] : 0; // the left, or at the left rim the one above
      whole[i] = before + difference;
      values[i] = whole[i] * packed.step;
    }
    values.shape = packed.shape;
    return values;
  }

  /** An image element of a data URL, decoded. */
  async function image(url) {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    return picture;
  }

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  /** Object k has one colour through the book; 0 is background. */
  const colourOf = (palette, k) => (k > 0 ? palette[(k - 1) % palette.length] : "#8a8f98");

  // ---- elements

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  let serial = 0;

  /** A labelled slider. `value` can be read and set. The figure is drawn again after any input, click or key. */
  function slider(label, { min, max, step, value, digits = step < 1 ? 2 : 0, unit = "" }, changed = () => {}) {
    const name = `spoco-input-${++serial}`;
    const shown = make("output", { for: name });
    const input = make("input", { type: "range", id: name, min, max, step, value });
    const text = make("span", {}, `${label} `, shown);
    const self = {
      element: make("label", { for: name }, text, input),
      input,
      get value() { return Number(input.value); },
      set value(v) { input.value = v; show(); },
    };
    function show() {
      shown.textContent = Number(input.value).toFixed(digits) + unit;
    }
    input.addEventListener("input", () => { show(); changed(self.value); });
    show();
    return self;
  }

  function toggle(label, checked) {
    const input = make("input", { type: "checkbox", checked });
    return { element: make("label", { class: "spoco-row" }, input, label), get value() { return input.checked; } };
  }

  /** One of a few, as a row of radio buttons. */
  function choice(legend, options, chosen, changed = () => {}) {
    const name = `spoco-input-${++serial}`;
    const inputs = options.map((option, i) => make("input", {
      type: "radio", name, value: i, checked: i === chosen, onchange: () => changed(i),
    }));
    const labels = inputs.map((input, i) => make("label", { class: "spoco-row" }, input, options[i]));
    return {
      element: make("fieldset", {}, make("legend", {}, legend), ...labels),
      get value() { return inputs.findIndex((input) => input.checked); },
      set value(i) { inputs[i].checked = true; },
    };
  }

  const button = (label, pressed) => make("button", { type: "button", onclick: pressed }, label);

  /** A button that starts and stops: `step()` in every frame, or every `pace` milliseconds, until it returns false. */
  function player(label, step, pace = 0) {
    let last = 0;
    const element = button(label, () => self.run(!self.playing));
    const frame = (time) => {
      if (!self.playing || !element.isConnected) return;
      if (time - last >= pace) {
        last = time;
        if (step() === false) self.run(false);
      }
      requestAnimationFrame(frame);
    };
    const self = {
      element, playing: false,
      run(playing) {
        if (playing && !self.playing) requestAnimationFrame(frame);
        self.playing = playing;
        element.textContent = playing ? "Pause" : label;
      },
      stop: (then) => () => { self.run(false); then(); },
    };
    return self;
  }

  const controls = (...parts) => make("div", { class: "spoco-controls" }, ...parts.map((p) => p.element || p));
  const canvas = () => make("canvas", { role: "img" });
  const name = (element, words) => element.setAttribute("aria-label", words);
  const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
  const panel = (title, canvas, wide = false) => { // a wide one has a row of its own on a phone
    return make("div", { class: wide && "spoco-wide" }, make("div", { class: "spoco-title" }, title), canvas);
  };
  const panels = (...parts) => make("div", { class: "spoco-panels" }, ...parts);

  /** Words that change; a screen reader says them when they have settled. `show` is for the eye alone, such as hover. */
  function say() {
    const seen = make("div", { class: "spoco-say" });
    const heard = make("div", {
      role: "status",
      style: "clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px",
    });
    let waiting;
    return {
      element: make("div", {}, seen, heard),
      show(text) { seen.textContent = text; },
      tell(text) {
        seen.textContent = text;
        clearTimeout(waiting);
        waiting = setTimeout(() => { heard.textContent = text; }, 600);
      },
    };
  }

  // ---- life of a figure

  const figures = {};

  /** The colour of text there. */
  const ink = (element) => getComputedStyle(element).color;

  /** Bring all figures of the page to life whose function is there. */
  function start() {
    if (!document.getElementById("spoco-style")) {
      document.head.append(make("style", { id: "spoco-style" }, STYLE));
    }
    for (const root of document.querySelectorAll(".spoco-figure:not([data-started])")) {
      if (figures[root.dataset.figure]) enliven(root);
    }
  }

  /** On a failure the still picture stays. */
  async function enliven(root) {
    root.dataset.started = "yes";
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const still = root.querySelector(".spoco-still");
    const stage = make("div", { class: "spoco-live" });
    try {
      const figure = await figures[root.dataset.figure](data, stage);
      let asked = 0;
      figure.later = () => { // at most one drawing per frame
        if (!asked) asked = requestAnimationFrame(() => { asked = 0; figure.draw(); });
      };
      for (const event of ["input", "change", "click", "keydown"]) stage.addEventListener(event, figure.later);
      still.replaceWith(stage);
      root.spoco = figure;
      const themed = () => {
        const light = ink(root).match(/[\d.]+/g).slice(0, 3).reduce((sum, c) => sum + Number(c), 0) > 380; // on dark paper
        stage.classList.toggle("spoco-dark", light);
        stage.style.colorScheme = light ? "dark" : "light";
        figure.later();
      };
      themed();
      new ResizeObserver(figure.later).observe(stage);
      for (const element of [document.documentElement, document.body]) new MutationObserver(themed).observe(element, { attributes: true });
      figure.draw();
      root.dataset.ready = "yes";
    } catch (error) {
      console.error(`The figure ${root.dataset.figure} stays still:`, error);
    }
  }

  return {
    figures, start, unpack, image, rgb, colourOf, make, slider, toggle, choice, button, player, controls, canvas, name,
    counted, panel, panels, say, ink,
  };
})();
