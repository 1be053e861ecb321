explorer.view("curves", (data, section) => {
  const { number, plot, axis, side, colours } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), slider = form.elements.pair;
  const space = section.querySelector("[data-plot=space]"), profile = section.querySelector("[data-plot=profile]");
  const NAMES = { line: "straight line", bezier: "Bezier curve", chain: "chain" }, SIDES = { line: 0, bezier: 1, chain: -1 };
  slider.max = data.pairs.length - 1;
  let stood = "";

  /** A curtain from the curve down to the floor. */
  function curtain(x, y, z, floor, colour) {
    const n = x.length, i = [], j = [], k = [];
    for (let a = 0; a + 1 < n; a++) { i.push(a, a + 1); j.push(a + 1, a + n + 1); k.push(a + n, a + n); }
    return { type: "mesh3d", x: [...x, ...x], y: [...y, ...y], z: [...z, ...z.map(() => floor)], i, j, k, color: colour, opacity: 0.22, hoverinfo: "skip", flatshading: true };
  }

  function drawSpace(pair, split, from) {
    const kinds = Object.entries(pair.kinds).filter(([, one]) => one.place), traces = [];
    const losses = kinds.map(([, one]) => explorer.log(one.loss[split])), floor = Math.min(...losses.flat()) - 0.25;
    kinds.forEach(([kind, one], place) => {
      const x = one.place.map((at) => at[0]), y = one.place.map((at) => SIDES[kind] * at[1]), z = losses[place], colour = colours().curves[kind];
      traces.push(curtain(x, y, z, floor, colour), {
        type: "scatter3d", mode: "lines", name: NAMES[kind], x, y, z, line: { color: colour, width: 7 }, customdata: data.t.map((t, k) => [t, one.loss[split][k], one.score[split][k]]),
        hovertemplate: `${NAMES[kind]}, t %{customdata[0]:.3g}<br>loss %{customdata[1]:.3g} nats<br>accuracy %{customdata[2]:.3g}<extra></extra>`,
      });
    });
    const ends = [0, data.t.length - 1], line = pair.kinds.line;
    traces.push({
      type: "scatter3d", mode: "markers+text", name: "optima", x: [0, line.length], y: [0, 0], z: ends.map((k) => Math.log10(line.loss[split][k])), text: pair.seeds.map((seed) => `seed ${seed}`),
      textposition: "top center", marker: { size: 6, color: colours().places.optima, line: { color: "#ffffff", width: 1 } }, hovertemplate: "%{text}<extra></extra>",
    });
    const moved = stood !== from ? { camera: explorer.camera(from) } : {};
    stood = from;
    plot(space, traces, {
      margin: { l: 0, r: 0, t: 30, b: 0 },
      scene: explorer.scene(side("along the line (weights)"), side("away from it (weights)", { tickmode: "array", tickvals: [-10, -5, 0, 5, 10], ticktext: ["10", "5", "0", "5", "10"] }),
        side(`${split} loss (nats)`, explorer.decades([...losses, floor])), { aspectmode: "manual", aspectratio: { x: 1.25, y: 1.0, z: 0.75 }, uirevision: from, ...moved }),
    });
  }

  function drawProfile(pair, split) {
    const traces = Object.entries(pair.kinds).map(([kind, one]) => ({
      x: data.t, y: one.loss[split], name: NAMES[kind], mode: "lines", line: { color: colours().curves[kind], width: 2.5, dash: { line: "solid", bezier: "dash", chain: "dot" }[kind] },
      customdata: one.score[split], hovertemplate: "t %{x:.3g}<br>loss %{y:.3g} nats<br>accuracy %{customdata:.3g}<extra>%{fullData.name}</extra>",
    }));
    plot(profile, traces, { xaxis: axis("position t on the curve"), yaxis: axis(`${split} loss (nats)`, { type: "log", dtick: 1 }) });
  }

  return () => {
    const { split, from } = Object.fromEntries(new FormData(form)), pair = data.pairs[Number(slider.value)];
    const text = `seeds ${pair.seeds.join(" and ")}`;
    form.querySelector("output").textContent = text;
    slider.setAttribute("aria-valuetext", text);
    const isBent = Object.values(pair.kinds).some((one) => one.place && one !== pair.kinds.line);
    space.parentElement.hidden = !isBent;
    if (isBent) drawSpace(pair, split, from);
    drawProfile(pair, split);
    const parts = Object.entries(pair.kinds).map(([kind, one]) => `${NAMES[kind]} ${number(one.barrier[split])} nats (${number(one.length)} weights long)`);
    says.textContent = explorer.said(`Height of the ${split} barrier between ${text}: ${parts.join(", ")}.`);
    explorer.table(section.querySelector("details"), ["seeds", "kind", "barrier (nats)", "largest loss (nats)", "length (weights)"],
      () => data.pairs.flatMap((one) => Object.entries(one.kinds).map(([kind, curve]) => [one.seeds.join(" and "), NAMES[kind], curve.barrier[split], curve.largest[split], curve.length])));
  };
});
