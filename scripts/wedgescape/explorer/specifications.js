// The verdict of an interval that stands alone, by a rule: as `numerics.judging.verdict` gives it, without Holm's correction.
explorer.judged = (one, rule, fewest) => {
  if (one.estimate === null || one.units < fewest) return "undecided";
  const low = one.low ?? -Infinity, high = one.high ?? Infinity;
  if (rule.threshold !== null) {
    const above = low > rule.threshold, below = high < rule.threshold, wanted = rule.wanted === "above" ? above : below;
    return wanted ? "supported" : above || below ? "contradicted" : "undecided";
  }
  const effect = rule.smallest_effect, above = low > effect, below = high < -effect, within = low > -effect && high < effect;
  if (rule.wanted === "within") return within ? "supported" : above || below ? "contradicted" : "undecided";
  if (within) return "no effect";
  const wanted = rule.wanted === "above" ? above : below;
  return wanted ? "supported" : above || below ? "contradicted" : "undecided";
};

explorer.view("specifications", (data, section) => {
  const { number, percent, interval, plot, axis, colours, variable, judged } = explorer, tunnels = explorer.tunnels;
  const [form, second] = section.querySelectorAll("form"), says = section.querySelector(".readout"), slider = form.elements.rule, fraction = second.elements.fraction;
  const curve = section.querySelector("[data-plot=curve]"), moving = section.querySelector("[data-plot=moving]"), frame = section.querySelector("[data-part=moving]");
  explorer.options(form.elements.claim, data.claims.map((claim) => [claim.id, claim.sentence]), data.claims[0]?.id);
  let shown = "", quantity = "";
  second.addEventListener("input", () => form.dispatchEvent(new Event("input")));
  section.querySelector("[data-do=back]").addEventListener("click", () => { shown = ""; form.dispatchEvent(new Event("input")); });
  const hasThreshold = (claim) => claim.threshold !== null;

  /** Set the slider's range around the registered rule; it passes through the rule's own value. */
  function prepare(claim) {
    const value = hasThreshold(claim) ? claim.threshold : claim.smallest_effect, ends = claim.ways.flatMap((way) => [way.low, way.high]).filter((one) => one !== null);
    const reach = Math.max(...ends.map((end) => Math.abs(end - (hasThreshold(claim) ? value : 0))), 2 * Math.abs(value), 1e-9);
    const step = 10 ** Math.floor(Math.log10(reach / 100));
    slider.step = step;
    slider.min = hasThreshold(claim) ? value - Math.ceil(reach / step) * step : value % step;
    slider.max = value + Math.ceil(reach / step) * step;
    slider.value = value;
    fraction.value = tunnels ? tunnels.data.fractions[quantity || "score"] : 0;
  }

  function drawCurve(claim, rule, ways) {
    const at = colours(), x = ways.map((_, k) => k), level = rule.threshold ?? rule.smallest_effect;
    const choices = [...new Set(claim.ways.flatMap((way) => way.choices))], rows = [...choices].reverse();
    const reach = (way, end) => (way.low === null || way.high === null ? 0 : Math.abs(way[end] - way.estimate));
    const traces = Object.keys(at.verdicts).map((verdict) => {
      const some = ways.map((way, k) => [way, k]).filter(([way]) => way.now === verdict && way.estimate !== null);
      return {
        x: some.map(([, k]) => k), y: some.map(([way]) => way.estimate), mode: "markers", name: verdict, marker: { color: at.verdicts[verdict], size: 8 },
        error_y: { type: "data", symmetric: false, array: some.map(([way]) => reach(way, "high")), arrayminus: some.map(([way]) => reach(way, "low")), color: at.verdicts[verdict], thickness: 1.6, width: 0 },
        customdata: some.map(([way]) => [way.choices.join("<br>"), interval(way), way.units, way.now]), hovertemplate: "%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]} units: %{customdata[3]}<extra></extra>",
      };
    }).filter((one) => one.x.length);
    const own = ways.findIndex((way) => way.registered);
    traces.push({ x: [own], y: [ways[own].estimate], mode: "markers", name: "registered", marker: { symbol: "circle-open", size: 17, color: variable("--ink"), line: { width: 2 } }, hoverinfo: "skip" });
    traces.push({
      x: ways.flatMap((way, k) => way.choices.map(() => k)), y: ways.flatMap((way) => way.choices.map((choice) => rows.indexOf(choice))), yaxis: "y2", mode: "markers", showlegend: false,
      marker: { symbol: "square", size: 7, color: ways.flatMap((way) => way.choices.map(() => at.verdicts[way.now])) }, text: ways.flatMap((way) => way.choices), hovertemplate: "%{text}<extra></extra>",
    });
    const band = { xref: "paper", x0: 0, x1: 1, line: { width: 0 } }, line = { color: variable("--soft"), width: 1.2 };
    const share = Math.min(0.62, 0.06 + 0.045 * rows.length);
    curve.style.height = `${Math.max(26, 15 + 1.35 * rows.length)}rem`;
    plot(curve, traces, {
      xaxis: axis("", { showticklabels: false, ticks: "", showgrid: false, range: [-0.7, ways.length - 0.3], anchor: "y2" }),
      yaxis: axis("", { domain: [share + 0.03, 1] }),
      yaxis2: axis("", { domain: [0, share], tickmode: "array", tickvals: rows.map((_, k) => k), ticktext: rows, range: [-0.6, rows.length - 0.4], tickfont: { size: 11 }, ticks: "", showline: false }),
      shapes: rule.threshold !== null
        ? [{ type: "line", ...band, y0: level, y1: level, line: { ...line, dash: "dash" } }]
        : [{ type: "rect", ...band, y0: -level, y1: level, fillcolor: variable("--soft"), opacity: 0.18, layer: "below" }, { type: "line", ...band, y0: 0, y1: 0, line }],
    });
  }

  /** The estimate against the threshold at which a tunnel ends: a line with its band for each way to compare networks. */
  function drawMoving(claim, rule, sweep) {
    const isScore = quantity === "score", steps = Array.from({ length: 49 }, (_, k) => 0.02 + 0.02 * k), chosen = Number(fraction.value);
    const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px,3px,2px,3px,2px,3px"], at = colours(), verdicts = [];
    const traces = sweep.compared.flatMap((compared, place) => {
      const found = steps.map((step) => tunnels.change(compared, quantity, step)), now = tunnels.change(compared, quantity, chosen), verdict = judged(now, rule, data.fewest);
      verdicts.push({ name: compared.name, ...now, verdict });
      const line = { color: at.sweeps[sweep.key], dash: dashes[place % dashes.length], width: 2 };
      const band = { x: [...steps, ...[...steps].reverse()].map((one) => 100 * one), y: [...found.map((one) => one.high), ...found.map((one) => one.low).reverse()], fill: "toself", mode: "none", fillcolor: at.sweeps[sweep.key], opacity: 0.1, hoverinfo: "skip", showlegend: false };
      return [...(sweep.compared.length > 4 ? [] : [band]),
        { x: steps.map((one) => 100 * one), y: found.map((one) => one.estimate), mode: "lines", name: compared.name, line, hovertemplate: "%{x:.0f} %: %{y:.3g}°<extra>%{fullData.name}</extra>" },
        { x: [100 * chosen], y: [now.estimate], mode: "markers", showlegend: false, marker: { size: 11, color: at.verdicts[verdict], line: { color: variable("--ink"), width: 1 } }, customdata: [[compared.name, interval(now), verdict]], hovertemplate: "%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>" }];
    });
    const level = rule.threshold ?? rule.smallest_effect;
    plot(moving, traces, {
      legend: { orientation: "v", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
      xaxis: axis(isScore ? "tunnels end at this % of the optimum's accuracy" : "tunnels end at this % of the way to chance", { range: [0, 100] }), yaxis: axis("change of angular width (degrees)"),
      shapes: [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: -level, y1: level, line: { width: 0 }, fillcolor: variable("--soft"), opacity: 0.18, layer: "below" },
        { type: "line", x0: 100 * chosen, x1: 100 * chosen, yref: "paper", y0: 0, y1: 1, line: { color: variable("--ink"), width: 1.5, dash: "dot" } }],
    });
    return verdicts;
  }

  return () => {
    const claim = data.claims.find((one) => one.id === form.elements.claim.value);
    if (!claim) { says.textContent = "No claim was measured in several ways."; section.querySelector(".plots").hidden = true; return; }
    const given = new FormData(second).get("quantity");
    if (given !== quantity || shown !== claim.id) { quantity = given; if (tunnels) fraction.value = tunnels.data.fractions[quantity]; }
    if (shown !== claim.id) prepare(claim);
    shown = claim.id;
    const level = Number(slider.value), rule = { wanted: claim.wanted, threshold: hasThreshold(claim) ? level : null, smallest_effect: hasThreshold(claim) ? null : level };
    form.querySelector("[for=specifications-rule] span").textContent = hasThreshold(claim) ? "Threshold of the rule" : "Smallest effect of interest";
    form.querySelector("[for=specifications-rule] output").textContent = number(level);
    const ways = claim.ways.map((way, k) => ({ ...way, registered: k === 0, now: judged(way, rule, data.fewest) })).sort((a, b) => (a.estimate ?? Infinity) - (b.estimate ?? Infinity));
    drawCurve(claim, rule, ways);
    section.querySelector("figcaption").textContent = `${claim.quantity[0].toUpperCase()}${claim.quantity.slice(1)}`;
    const own = ways.find((way) => way.registered), same = ways.filter((way) => way.now === own.now).length;
    const sweep = tunnels && claim.id.startsWith("tunnel_") ? tunnels.data.sweeps.find((one) => one.compared.length && claim.id === `tunnel_${one.key}`) : null;
    frame.hidden = !sweep;
    section.querySelector(".plots").classList.toggle("one", !sweep);
    let more = "";
    if (sweep) {
      second.querySelector("output").textContent = percent(Number(fraction.value));
      const found = drawMoving(claim, rule, sweep);
      more = ` With tunnels that end at ${percent(Number(fraction.value))} by ${quantity === "score" ? "accuracy" : "loss"}: ${found.map((one) => `${one.name} ${number(one.estimate)} (${one.verdict})`).join(", ")}.`;
    }
    const wanted = hasThreshold(claim) ? `${claim.wanted} ${number(level)}` : claim.wanted === "within" ? `within ±${number(level)}` : `${claim.wanted} by ${number(level)}`;
    says.textContent = explorer.said(`By the rule “${wanted}”, the registered specification alone is ${own.now}; ${same} of ${ways.length} specifications agree.${more}`);
    Plotly.Plots.resize(curve);
    explorer.table(section.querySelector("details"), ["specification", "estimate", "low", "high", "units", "verdict alone, by this rule"], () => ways.map((way) => [way.choices.join("; "), way.estimate, way.low, way.high, String(way.units), way.now]));
  };
});
