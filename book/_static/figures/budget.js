/* Paint the budget: which objects of a set are labelled, what that costs, and what records made of as much. */
spoco.figures.budget = async (data, stage) => {
  "use strict";
  const S = spoco;
  const labels = await S.unpack(data.labels), strokes = await S.unpack(data.strokes), picture = await S.image(data.image);
  const [rows, columns] = labels.shape, side = columns / data.columns, total = data.turns.length;
  const most = Math.max(...data.orders.map((order) => order.length));
  const MARKS = { objects: "●○", strokes: "▲△", images: "■□" }; // of the bench, and of long runs
  // Of each pixel: which image it is in, and when its object is labelled; -1 for background.
  const image = Int32Array.from(labels, (_, i) => Math.floor(i / columns / side) * data.columns + Math.floor((i % columns) / side));
  const turn = Int32Array.from(labels, (k, i) => (k > 0 ? data.orders[image[i]][k - 1] : -1));

  const map = S.canvas(), chart = S.canvas(), words = S.say();
  const slider = (label, max, value, unit, changed) => S.slider(label, { min: 1, max, step: 1, value, unit }, changed);
  const images = slider("images with labels", total, total, ` of ${total}`);
  const each = slider("outlines in each, at most", most, data.each, "", (n) => { if (n < most && ground.value === 2) ground.value = 0; });
  const ground = S.choice("background", ["nothing", "a few strokes", "all of it"], 0, (g) => { if (g === 2) each.value = most; });
  const seconds = ["to open an image", "to outline an object", "for the strokes of an image"].map((text, k) =>
    slider(text, k === 1 ? 180 : 60, data.seconds[k], " s"));
  const minutes = (images, outlines, strokes) => {
    const [open, outline, stroke] = seconds.map((slider) => slider.value);
    return (images * (open + strokes * stroke) + outlines * outline) / 60;
  };
  const cost = (spent) => minutes(spent.images, spent.outlines, spent.way === "strokes");
  const mean = (spent) => spent.scores.reduce((a, b) => a + b, 0) / spent.scores.length;
  const shown = S.slider("look at record", { min: 0, max: data.spent.length, step: 1, value: 0, unit: ` of ${data.spent.length}` });
  stage.append(
    S.panels(S.panel("what is labelled", map, true), S.panel("recorded trainings", chart, true)),
    S.make("div", {}, "● some objects in every image, ▲ and strokes, ■ whole images; hollow: long runs, other images"),
    words.element, S.controls(images, each, ground), S.controls(...seconds, shown),
  );

  /** The plan that is chosen. Its `way` is null where no record has labels of that kind. */
  function plan() {
    const chosen = data.orders.filter((_, p) => data.turns[p] < images.value);
    const outlines = chosen.reduce((sum, order) => sum + Math.min(each.value, order.length), 0);
    const way = ground.value === 2 ? "images" : images.value < total ? null : ground.value ? "strokes" : "objects";
    return { images: images.value, outlines, way, minutes: minutes(images.value, outlines, ground.value === 1) };
  }

  /** Between which two records so many outlines lie, and what score that makes; null outside of what was measured. */
  function between(way, outlines) {
    const there = data.spent.filter((spent) => spent.way === way && !spent.long); // the fewest outlines first
    const low = there.findLast((spent) => spent.outlines <= outlines), high = there.find((spent) => spent.outlines >= outlines);
    if (!low || !high) return null;
    const share = low === high ? 0 : Math.log(outlines / low.outlines) / Math.log(high.outlines / low.outlines);
    return { low, high, score: (1 - share) * mean(low) + share * mean(high) };
  }

  function verdict({ way, outlines }, found) {
    if (found) return `Interpolated between ${found.low.name} (${found.low.outlines} outlines) and ${found.high.name} (${found.high.outlines}): SBD ${found.score.toFixed(2)}.`;
    const spread = between("objects", outlines);
    return (way ? "Not measured: it does not lie between two records of such labels." : "Not measured: no record has labels in some of the images, unless in full.") +
      (spread ? ` As many outlines, spread over all images, make an SBD of ${spread.score.toFixed(2)}.` : "");
  }

  const told = (spent) => `${spent.name}: ${S.counted(spent.outlines, "outline")} in ${S.counted(spent.images, "image")}, ` +
    `${cost(spent).toFixed(0)} minutes, SBD ${mean(spent).toFixed(2)} (${S.counted(spent.scores.length, "seed")})`;

  return {
    plan, between, images, each, ground,
    draw() {
      const now = plan(), found = now.way && between(now.way, now.outlines), record = data.spent[shown.value - 1];
      const colours = data.palette.map((colour) => [...S.rgb(colour), 215]), number = each.value, how = ground.value;
      const [closed, open, dark] = [[219, 219, 219, 235], [219, 219, 219, 130], [33, 36, 43, 235]];
      S.veiled(map, [picture], labels.shape, (i) => { // as in all label maps: background dark, the unlabelled grey
        if (data.turns[image[i]] >= now.images) return closed;
        if (turn[i] >= 0) return turn[i] < number ? colours[(labels[i] - 1) % colours.length] : open;
        return how === 2 || (how === 1 && strokes[i]) ? dark : open;
      });
      const place = (spent) => [Math.log2(cost(spent)), mean(spent)], here = Math.log2(now.minutes);
      const reach = [here, ...data.spent.map((spent) => place(spent)[0])];
      const axes = S.axes(chart, { x: [Math.min(...reach) - 0.3, Math.max(...reach) + 0.3], y: [0, 1], aspect: 0.8,
        xlabel: "minutes of work", ylabel: "SBD", tick: (v) => String(Math.round(20 * 2 ** v) / 20) });
      axes.line([[here, 0], [here, 1]], { dash: [5, 4] });
      axes.textAlign = "center";
      axes.textBaseline = "middle";
      axes.font = "14px system-ui, sans-serif";
      for (const [way, marks] of Object.entries(MARKS)) {
        const there = data.spent.filter((spent) => spent.way === way);
        axes.line(there.filter((spent) => !spent.long).map(place), { width: 1 });
        for (const spent of there) axes.fillText(marks[Number(spent.long)], axes.at(place(spent)[0]), axes.up(place(spent)[1]));
      }
      if (found) axes.ring(here, found.score, 7);
      if (record) axes.ring(...place(record), 10);
      S.name(map, `${S.counted(total, "image")}, labelled: ${S.counted(now.outlines, "object")} of ${now.images}.`);
      S.name(chart, `SBD of recorded trainings over minutes of work. ${data.spent.map(told).join("; ")}.`);
      words.tell((record ? `Record ${told(record)}. ` : "") +
        `Labelled: ${S.counted(now.outlines, "outline")} in ${S.counted(now.images, "image")}, ${now.minutes.toFixed(0)} minutes. ${verdict(now, found)}`);
    },
  };
};
