/* Pictures and charts on a canvas, and a cursor for mouse, touch and keyboard. It adds to core.js. */
Object.assign(window.spoco, (() => {
  "use strict";

  const { make, name, ink } = window.spoco;

  /** The drawing context of a canvas, cleared, with one unit for one CSS pixel. `aspect` is height over width. */
  function fresh(canvas, aspect) {
    const width = canvas.clientWidth || 260, height = Math.round(width * aspect), dense = Math.min(window.devicePixelRatio || 1, 2);
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    return Object.assign(context, { wide: width, high: height });
  }

  /** Ticks of an axis, at most about `count`: `put(value, digits)` for each. */
  function ticks(from, to, count, put) {
    const low = Math.min(from, to), high = Math.max(from, to), rough = (high - low) / Math.max(2, count);
    const power = 10 ** Math.floor(Math.log10(rough)), step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) put(tick, digits);
  }

  /** Axes on a canvas: the context with `at` and `up`, from values to places, their inverses, `line` and `dot`.

  `tick` says a value of the x axis in words, where that is not the number itself. */
  function axes(canvas, { x, y, xlabel, ylabel, aspect, equal = false, tick: said = (v, digits) => v.toFixed(digits) }) {
    const context = fresh(canvas, aspect), left = 44, bottom = 36, top = 6, right = 8;
    let [x0, x1] = x, [y0, y1] = y;
    const width = context.wide - left - right, height = context.high - top - bottom;
    if (equal) { // one unit is as long on both axes: widen the range of the roomier one
      const scale = Math.min(width / Math.abs(x1 - x0), height / Math.abs(y1 - y0));
      const more = (low, high, room) => {
        const extra = ((room / scale - Math.abs(high - low)) / 2) * Math.sign(high - low);
        return [low - extra, high + extra];
      };
      [x0, x1] = more(x0, x1, width);
      [y0, y1] = more(y0, y1, height);
    }
    const at = (v) => left + ((v - x0) / (x1 - x0)) * width;
    const up = (v) => top + ((y1 - v) / (y1 - y0)) * height;
    const colour = ink(canvas);
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 1;
    context.font = "12px system-ui, sans-serif";
    context.beginPath();
    context.moveTo(left, top);
    context.lineTo(left, top + height);
    context.lineTo(left + width, top + height);
    context.stroke();
    context.textAlign = "center";
    context.textBaseline = "top";
    ticks(x0, x1, width / 70, (v, digits) => context.fillText(said(v, digits), at(v), top + height + 4));
    context.fillText(xlabel, left + width / 2, context.high - 14);
    context.textAlign = "right";
    context.textBaseline = "middle";
    ticks(y0, y1, height / 50, (v, digits) => context.fillText(v.toFixed(digits), left - 5, up(v)));
    context.save();
    context.translate(10, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(ylabel, 0, 0);
    context.restore();
    return Object.assign(context, {
      colour, at, up, left, top, span: width, rise: height, scale: width / (x1 - x0),
      line(points, { width: thick = 1.5, dash = [] } = {}) {
        context.strokeStyle = colour;
        context.lineWidth = thick;
        context.setLineDash(dash);
        context.beginPath();
        points.forEach(([a, b], n) => context[n ? "lineTo" : "moveTo"](at(a), up(b)));
        context.stroke();
        context.setLineDash([]);
      },
      dot(a, b, radius, how = "fill") { // its radius in pixels
        context.beginPath();
        context.arc(at(a), up(b), radius, 0, 2 * Math.PI);
        context[how]();
      },
      ring: (a, b, radius) => ring(context, at(a), up(b), radius),
      xOf: (place) => x0 + ((place - left) / width) * (x1 - x0),
      yOf: (place) => y1 - ((place - top) / height) * (y1 - y0),
    });
  }

  /** A picture, and over it a veil of small pixels: `colourAt(i)` is [red, green, blue, opacity], each to 255.

  `picture` is what drawImage takes before the place: [image], with a window of it or not. Gives the context, whose
  `spot(i, radius)` is a ring around a pixel. */
  function veiled(canvas, picture, [rows, columns], colourAt, { smooth = false, aspect = rows / columns } = {}) {
    const context = fresh(canvas, aspect), pixels = new Uint8ClampedArray(4 * rows * columns);
    const small = make("canvas", { width: columns, height: rows });
    for (let i = 0; i < rows * columns; i++) {
      const colour = colourAt(i);
      for (let c = 0; c < 4; c++) pixels[4 * i + c] = colour[c]; // much faster than set()
    }
    small.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
    context.imageSmoothingEnabled = true;
    if (picture.length) context.drawImage(...picture, 0, 0, context.wide, context.high);
    context.imageSmoothingEnabled = smooth;
    context.drawImage(small, 0, 0, context.wide, context.high);
    const spot = (i, radius) => ring(context, (((i % columns) + 0.5) / columns) * context.wide,
      ((Math.floor(i / columns) + 0.5) / rows) * context.high, radius);
    return Object.assign(context, { spot });
  }

  /** Where an arrow key points: [right, down]. */
  const arrow = (event) =>
    ({ ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] })[event.key];

  /** Where on a picture of `columns` x `rows` pixels somebody points or types.

  Calls `pick(row, column)` on a click, a touch, Enter or Space, and `over(row, column)` (or `over()`) while hovering;
  arrow keys move a cursor, with Shift by five. `cursor` is where it stands, null while the keyboard is not used. */
  function pointer(canvas, { rows, columns, label, pick, over }) {
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "picture to click");
    name(canvas, `${label} Arrow keys move the cursor, Enter picks the pixel.`);
    const self = { cursor: null, start: [rows >> 1, columns >> 1] };
    const within = (row, column) => [[row, rows], [column, columns]].map(([at, count]) => Math.min(count - 1, Math.max(0, Math.floor(at))));
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return within(((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * columns);
    };
    canvas.addEventListener("click", (event) => {
      self.cursor = null;
      self.start = place(event);
      pick(...self.start);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") over(...place(event)); });
    canvas.addEventListener("pointerleave", () => over());
    canvas.addEventListener("keydown", (event) => {
      const way = arrow(event), enters = event.key === "Enter" || event.key === " ";
      if (!way && !enters) return;
      event.preventDefault();
      const [row, column] = self.start, far = event.shiftKey ? 5 : 1;
      if (enters) return pick(row, column);
      self.start = self.cursor = within(row + far * way[1], column + far * way[0]);
      over(...self.cursor);
    });
    canvas.addEventListener("blur", () => { self.cursor = null; over(); });
    return self;
  }

  /** A ring around a pixel, seen on any ground. */
  function ring(context, x, y, radius = 6) {
    for (const [colour, width] of [["#000000", 4], ["#ffffff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  return { fresh, axes, veiled, arrow, pointer, ring };
})());
