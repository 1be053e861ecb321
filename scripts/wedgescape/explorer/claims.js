explorer.view("claims", (data, section) => {
  const { number, percent, interval, colours, element, variable } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), chapters = section.querySelector("[data-part=chapters]"), open = new Set();
  const verdicts = ["supported", "contradicted", "no effect", "undecided"], NS = "http://www.w3.org/2000/svg", FAR = 300;
  for (const verdict of verdicts) {
    const input = element("input", { type: "checkbox", name: "verdict", value: verdict });
    input.checked = true;
    section.querySelector("[data-choice=verdicts]").append(element("label", {}, input, ` ${verdict}`));
  }

  /** Interval against the rule, in units of the smallest effect or of half the interval, on a scale that is linear near 0. */
  function bar(claim) {
    const flip = claim.wanted === "below" ? -1 : 1, isEffect = claim.smallest_effect !== null;
    const half = claim.low === null || claim.high === null ? null : (claim.high - claim.low) / 2;
    const scaled = (value) => (value === null ? null : isEffect ? (flip * value) / claim.smallest_effect : (flip * (value - claim.threshold)) / (half || Math.abs(claim.estimate - claim.threshold) || 1));
    const at = (value) => 100 + (96 * Math.sign(value) * Math.log1p(Math.min(FAR, Math.abs(value)))) / Math.log1p(FAR);
    const drawing = document.createElementNS(NS, "svg"), colour = colours().verdicts[claim.verdict];
    const add = (tag, attributes) => { const made = document.createElementNS(NS, tag); Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value)); drawing.append(made); };
    drawing.setAttribute("viewBox", "0 0 200 18");
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("aria-hidden", "true");
    if (isEffect) add("rect", { x: at(-1), width: at(1) - at(-1), y: 0, height: 18, fill: variable("--line") });
    else add("rect", { x: 99.3, width: 1.4, y: 0, height: 18, fill: variable("--soft") });
    const ends = [claim.low, claim.high].map(scaled);
    if (!ends.includes(null)) add("rect", { x: Math.min(...ends.map(at)), width: Math.max(1.5, Math.abs(at(ends[1]) - at(ends[0]))), y: 7.5, height: 3, rx: 1.5, fill: colour });
    if (claim.estimate !== null) add("rect", { x: at(scaled(claim.estimate)) - 2, width: 4, y: 4, height: 10, rx: 1.5, fill: colour });
    return drawing;
  }

  const link = (path) => element("a", { href: path.split("/").map(encodeURIComponent).join("/") }, path);
  function links(paths) {
    const list = (some) => some.flatMap((path, k) => (k ? [", ", link(path)] : [link(path)]));
    if (paths.length <= 4) return list(paths);
    return [element("details", {}, element("summary", {}, `${paths.length} stores`), element("span", {}, ...list(paths)))];
  }

  function details(claim) {
    const from = data.files[claim.from], list = element("dl");
    const say = (name, ...content) => { if (content.length && content[0] !== "") list.append(element("dt", {}, name), element("dd", {}, ...content)); };
    say("quantity", claim.quantity);
    say("estimate", `${interval(claim)}, ${claim.units} independent units (${claim.unit})`);
    say("rule", claim.rule);
    say("verdict", `${claim.verdict}: ${claim.reason}`);
    say("p", `${number(claim.p)} alone, ${number(claim.p_family)} within its chapter`);
    say("control", claim.control);
    say("left out", claim.left_out ? `${claim.left_out} runs that diverged or do not fit` : "");
    say("on fresh seeds", claim.confirmed);
    if (claim.quote) say("the paper says", `“${claim.quote}”`);
    if (claim.robust !== null) {
      const button = element("button", { type: "button", class: "inline" }, "show the specification curve");
      button.addEventListener("click", () => show(claim.id));
      say("robust", `${percent(claim.robust)} of all specifications give the same verdict `, ...(document.getElementById("specifications") ? [button] : []));
    }
    say("figure", ...links(from.figures));
    say("table", ...links(from.tables));
    say("stores", ...links(from.stores));
    return list;
  }

  function show(id) {
    const select = document.getElementById("specifications-claim");
    select.value = id;
    select.form.dispatchEvent(new Event("input"));
    document.getElementById("specifications").scrollIntoView();
    select.focus({ preventScroll: true });
  }

  function rows(claim) {
    const id = `claim-${claim.id}`, button = element("button", { type: "button", class: "claim", "aria-expanded": open.has(claim.id), "aria-controls": `${id}-more` }, claim.sentence);
    const more = element("tr", { class: "more", id: `${id}-more` }, element("td", { colspan: 5 }));
    const fill = () => { more.hidden = !open.has(claim.id); if (!more.hidden) more.firstChild.replaceChildren(details(claim)); };
    button.addEventListener("click", () => {
      if (!open.delete(claim.id)) open.add(claim.id);
      button.setAttribute("aria-expanded", open.has(claim.id));
      fill();
    });
    fill();
    const cells = [button, element("span", { class: "verdict", style: `color: ${colours().text[claim.verdict]}` }, claim.verdict), bar(claim), interval(claim), claim.robust === null ? "" : percent(claim.robust)];
    return [element("tr", { id, class: claim.kind === "check" ? "check" : "" }, ...cells.map((cell) => element("td", {}, cell))), more];
  }

  return () => {
    const given = new FormData(form), kinds = given.getAll("kind"), wanted = given.getAll("verdict"), text = given.get("text").trim().toLowerCase();
    const found = data.claims.filter((one) => kinds.includes(one.kind) && wanted.includes(one.verdict) && `${one.sentence} ${one.id} ${one.quantity}`.toLowerCase().includes(text));
    const head = () => element("thead", {}, element("tr", {}, ...[["claim", ""], ["verdict", "of-verdict"], ["interval against the rule", "of-bar"], ["estimate (interval)", "of-estimate"], ["robust", "of-robust"]].map(([name, kind]) => element("th", { scope: "col", class: kind }, name))));
    chapters.replaceChildren(...Object.entries(data.families).flatMap(([family, heading]) => {
      const some = found.filter((one) => one.family === family);
      if (!some.length) return [];
      const count = verdicts.map((verdict) => [some.filter((one) => one.verdict === verdict).length, verdict]).filter(([n]) => n).map(([n, verdict]) => `${n} ${verdict}`).join(", ");
      return [element("table", {}, element("caption", {}, heading, element("span", {}, count)), head(), element("tbody", {}, ...some.flatMap(rows)))];
    }));
    says.textContent = `${found.length} of ${data.claims.length} claims shown.`;
  };
});
