// The page: sends a recording, and draws what comes back. It contacts its own server alone.

const PARTS = ["paper", "leads", "deviation", "similar", "report"];
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

let model = null;
let files = [];
let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.token ?? "";
if (token) {
  sessionStorage.token = token;
  history.replaceState(null, "", location.pathname);
}

// Elements ------------------------------------------------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function shape(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function section(title, ...children) {
  return make("section", {}, make("h2", {}, title), ...children);
}

const note = (text) => make("p", { class: "note" }, text);

function list(sentences, kind = "") {
  const items = sentences.map((text) => make("li", { class: kind }, text));
  return sentences.length ? make("ul", { class: "plain" }, ...items) : null;
}

function figure(svg, caption) {
  const drawn = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption });
  scroll.append(document.adoptNode(drawn));
  return make("figure", {}, scroll, make("figcaption", {}, caption));
}

// Numbers -------------------------------------------------------------------------------------

const minus = (text) => text.replace("-", "\u2212");
const number = (value, digits = 3) => (value === null ? "\u2013" : minus(value.toFixed(digits)));
const short = (value) => String(Number(value.toPrecision(3)));
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

function interval(measure) {
  if (measure === null) return ["\u2013"];
  const ends = `${number(measure.low, 2)} to ${number(measure.high, 2)}`;
  return [number(measure.estimate, 2), make("small", {}, ends)];
}

function leadsNamed(leads) {
  const chest = leads.filter((lead) => lead.startsWith("V"));
  if (leads.length > 2 && chest.length === leads.length) return `${leads[0]} to ${leads.at(-1)}`;
  if (leads.length > 1 && !chest.length) return "all limb leads";
  return leads.join(", ");
}

// Sections ------------------------------------------------------------------------------------

function recordingSection(found) {
  const read = found.recording;
  const facts = [
    ["Format", read.format],
    ["Leads", `${read.leads.length}: ${read.leads.join(" ")}`],
    ["Samples per second", String(read.sampling_rate)],
    ["Duration", `${short(read.duration_s)} s`],
    ["Unit, resolution", `${read.unit}, ${short(read.resolution_uv)} µV`],
    ["Amplitude", read.amplitude_mv === null ? "\u2013" : `${short(read.amplitude_mv)} mV`],
    ["Gaps", gaps(read.missing)],
    ["Einthoven residual", residual(read.einthoven)],
  ];
  const terms = facts.map(([name, text]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, text)));
  const dropped = read.dropped.length ? [`Not used: ${read.dropped.join(", ")}.`] : [];
  const seconds = Math.min(read.duration_s, 10);
  const caption = `The first ${short(seconds)} s as recorded, each lead's median at its line.`;
  return section(
    "What was read",
    make("dl", { class: "read" }, ...terms),
    list(read.quality, "warn"),
    list([...read.notes, ...dropped]),
    found.figures.paper ? figure(found.figures.paper, caption) : null,
  );
}

function gaps(missing) {
  const leads = Object.entries(missing);
  return leads.length ? leads.map(([lead, share]) => `${lead} ${percent(share)}`).join(", ") : "none";
}

function residual(found) {
  if (!found) return "\u2013";
  return `${short(found.typical_mv)} mV in 99 %, ${short(found.peak_mv)} mV at most`;
}

function bar(value, mark, label) {
  const drawing = shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img",
    "aria-label": label });
  drawing.append(
    shape("rect", { class: "track", y: 3, width: 100, height: 4, rx: 1 }),
    shape("rect", { class: "fill", y: 3, width: 100 * value, height: 4, rx: 1 }));
  if (mark !== null) {
    drawing.append(shape("path", { class: "mark", d: `M${100 * mark} 0v10`,
      "vector-effect": "non-scaling-stroke" }));
  }
  return drawing;
}

function likeliestFirst(found) {
  return found.classes.map((_, i) => i)
    .sort((a, b) => (found.classes[b].called ?? 0) - (found.classes[a].called ?? 0)
      || found.classes[b].probability - found.classes[a].probability);
}

function classSection(found) {
  const isDetector = found.score !== null;
  const value = isDetector ? "Score" : "Probability";
  const stated = model.classes.some((one) => one.sensitivity || one.specificity);
  const columns = ["Class", ...(isDetector ? [] : [""]), value, "Threshold", "Called",
    ...(stated ? ["Sensitivity", "Specificity"] : [])];
  const head = make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text)));
  const order = likeliestFirst(found);
  const rows = order.map((i) => 
    classRow(model.classes[i], found.classes[i], found.score, stated));
  const said = [
    isDetector ? "" : "The mark on a bar is the threshold.",
    stated
      ? "Sensitivity and specificity at the threshold, with intervals, are those of the release."
      : "The model states no sensitivity and specificity: it was not released.",
    model.threshold_rule ? `Thresholds: ${model.threshold_rule}.` : "",
    model.calibration && model.calibration !== "none"
      ? `Probabilities are calibrated (${model.calibration}).`
      : isDetector ? "" : "Probabilities are those of the network, not calibrated afterwards.",
  ];
  const table = make("table", { class: "metric" }, make("thead", {}, head),
    make("tbody", {}, ...rows));
  return section(isDetector ? "Normal or not" : "Classes",
    make("div", { class: "scroll" }, table), note(said.filter(Boolean).join(" ")));
}

function classRow(known, found, score, stated) {
  const value = score ?? found.probability;
  const words = known.description && known.description !== known.name ? known.description : "";
  const cell = (label, ...content) => make("td", { "data-label": label }, ...content);
  const wide = (label, measure) =>
    make("td", { "data-label": label, class: "wide" }, ...interval(measure));
  const name = make("th", { scope: "row" }, known.name, words ? make("small", {}, words) : null);
  const called = found.called === null ? "\u2013" : found.called ? "yes" : "no";
  const label = `${known.name}: ${number(value)}`;
  return make(
    "tr", { class: found.called ? "called" : "" }, name,
    score === null ? make("td", { class: "bar" }, bar(value, known.threshold, label)) : null,
    cell(score === null ? "Probability" : "Score", number(value)),
    cell("Threshold", number(known.threshold)),
    cell("Called", called),
    stated ? wide("Sensitivity", known.sensitivity) : null,
    stated ? wide("Specificity", known.specificity) : null,
  );
}

function cautionSection(found) {
  return found.cautions.length ? section("Cautions", list(found.cautions, "warn")) : null;
}

function leadSection(found) {
  if (!found.taken || found.taken.length < 2) return null;
  const [whole, ...rest] = found.taken;
  const likeliest = likeliestFirst(found);
  const choice = make("select", { id: "class" },
    ...likeliest.map((i) => make("option", { value: i }, found.classes[i].name)));
  const rows = make("div", { class: "without" });
  const draw = () => {
    const at = Number(choice.value);
    rows.replaceChildren(...rest.flatMap((one) =>
      leadRow(leadsNamed(one.leads), whole.probabilities[at], one.probabilities[at])));
  };
  choice.addEventListener("change", draw);
  draw();
  return section(
    "What changes without a lead",
    note("The probability when the model does not see a lead, though others may give it: the mark " +
      "is with all leads, the end of the line without."),
    make("p", { class: "fields" }, make("label", {}, "Class", choice)), rows);
}

function leadRow(name, before, after) {
  const drawing = shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img",
    "aria-label": `${number(before)} with, ${number(after)} without ${name}` });
  const crisp = { "vector-effect": "non-scaling-stroke" };
  drawing.append(
    shape("rect", { class: "track", y: 4, width: 100, height: 2 }),
    shape("path", { class: "line", d: `M${100 * before} 5H${100 * after}`, ...crisp }),
    shape("path", { class: "mark", d: `M${100 * before} 0v10`, ...crisp }),
    shape("path", { class: "line end", d: `M${100 * after} 2v6`, ...crisp }));
  const change = after - before;
  const sign = change < 0 ? "" : "+";
  return [make("span", {}, name), drawing,
    make("output", {}, `${number(after)} (${sign}${number(change)})`)];
}

function deviationSection(found) {
  const seen = found.deviation;
  if (!seen) return null;
  const where = seen.segments.map((one) =>
    `${one.lead}, ${one.begin_s.toFixed(1)} to ${one.end_s.toFixed(1)} s: ` +
    `${short(one.deviation)} ${seen.unit}`);
  const judged = seen.score === null ? "" : ` Score ${number(seen.score)}` +
    (seen.threshold === null ? "." : `; abnormal from ${number(seen.threshold)} on.`);
  const caption = `The first ${short(seen.seconds)} s as ${seen.watcher} reads them; red where ` +
    "they differ from what it expects.";
  const expected = found.figures.expected
    ? [make("h3", {}, "What the masked autoencoder expects"),
      figure(found.figures.expected, "Blue: each part as the autoencoder draws it when that part " +
        "is hidden, with the offset and size of the recorded part.")]
    : [];
  return section(
    "Where it deviates",
    note((where.length ? "The largest deviations:" : "Nothing deviates by much.") + judged),
    list(where),
    figure(found.figures.deviation, caption),
    ...expected);
}

function similarSection(found) {
  const near = found.similar;
  if (!near) return null;
  const rows = near.recordings.map((one) => make("tr", {},
    make("th", { scope: "row" }, one.name),
    make("td", { "data-label": "Cosine" }, number(one.similarity)),
    make("td", { "data-label": "Labels" }, one.labels.join(", ") || "\u2013")));
  const head = make("tr", {}, ...["Recording", "Cosine", "Labels"].map((text) =>
    make("th", { scope: "col" }, text)));
  const unlike = near.percentile > 99 ? " It is unlike the reference." : "";
  return section(
    "Most similar recordings",
    make("div", { class: "scroll" }, make("table", { class: "metric" }, make("thead", {}, head),
      make("tbody", {}, ...rows))),
    note(`Of ${near.searched} recordings of the reference, ${near.percentile.toFixed(0)} % are ` +
      `nearer to their nearest one than this recording is.${unlike}`));
}

function missingSection(found) {
  const reasons = Object.values(found.unavailable);
  return reasons.length ? section("Not shown", list(reasons)) : null;
}

// Answers -------------------------------------------------------------------------------------

function headline(found) {
  if (!found.classes.length) {
    return "An encoder: it embeds and reconstructs a recording, and names no class.";
  }
  const called = found.classes.filter((one) => one.called).map((one) => one.name);
  if (called.length) return `Called: ${called.join(", ")}.`;
  if (found.classes.every((one) => one.called === null)) {
    return "No class is called: the model has no thresholds.";
  }
  return `None of ${found.classes.length} classes is called.`;
}

function keep(name, type, content) {
  const link = make("a", { download: name,
    href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function actions(found) {
  const stem = `lamae-${found.recording.name.replace(/[^\w.-]+/g, "_")}`;
  const report = make("button", { type: "button", class: "main", id: "keep-report" },
    "Keep the report");
  report.addEventListener("click", () => keep(`${stem}.html`, "text/html", found.report));
  const numbers = make("button", { type: "button", id: "keep-numbers" }, "Keep the numbers (JSON)");
  const { report: _, figures: __, ...plain } = found;
  numbers.addEventListener("click", () =>
    keep(`${stem}.json`, "application/json", JSON.stringify(plain, null, 2)));
  return make("p", { class: "actions" }, found.report ? report : null, numbers);
}

function show(found) {
  const result = byId("result");
  byId("headline").textContent = headline(found);
  const sections = [
    actions(found), recordingSection(found),
    found.classes.length ? classSection(found) : null,
    cautionSection(found), leadSection(found), deviationSection(found), similarSection(found),
    missingSection(found),
  ];
  result.replaceChildren(...sections.filter((one) => one !== null));
  result.hidden = false;
  document.body.classList.add("has-result");
}

function say(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = kind;
}

async function call(path, options = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  byId("ask").hidden = !(answer.status === 401 || token);
  if (answer.status === 401) byId("ask").open = true;
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.error), { status: answer.status });
  return content;
}

async function send() {
  if (!files.length) return say("Choose a recording first.", "wrong");
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name);
  for (const id of ["rate", "unit"]) {
    if (byId(id).value) form.append(byId(id).name, byId(id).value);
  }
  say(`Reading ${files.map((file) => file.name).join(", ")} …`, "busy");
  try {
    const query = PARTS.map((part) => `parts=${part}`).join("&");
    const found = await call(`api/predict?${query}`, { method: "POST", body: form });
    show(found);
    say(`${found.recording.name}, answered in ${found.seconds.toFixed(2)} s.`);
    byId("result").focus({ preventScroll: true });
  } catch (error) {
    byId("result").hidden = true;
    say(error.message || "The server does not answer.", "wrong");
  }
}

async function begin() {
  try {
    model = await call("api/model");
  } catch (error) {
    if (error.status === 503) return setTimeout(begin, 700);
    if (error.status === 401) {
      byId("headline").textContent = "This server asks for a token.";
      return;
    }
    byId("headline").textContent = "The server does not answer.";
    return;
  }
  document.title = `${model.name}: read an electrocardiogram`;
  byId("model").textContent = model.name + (model.version ? ` ${model.version}` : "");
  byId("headline").textContent = model.classes.length
    ? `Reads an electrocardiogram, and tells ${classesNamed()}.`
    : "An encoder: it embeds and reconstructs an electrocardiogram, and names no class.";
  byId("facts").textContent = `${model.notice} It reads ${model.leads.join(", ")} at ` +
    `${model.sampling_rate} samples per second, in windows of ${short(model.window_s)} s.`;
  document.body.classList.add("ready");
}

function classesNamed() {
  const names = model.classes.map((one) => one.name);
  if (names.length > 8) return `${names.length} classes`;
  if (names.length < 2) return `what is ${names[0]}`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

byId("file").addEventListener("change", (event) => {
  files = [...event.target.files];
  if (files.length) send();
  event.target.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      files = [...event.dataTransfer.files];
      send();
    }
  });
}
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("bring").addEventListener("click", () => {
  token = sessionStorage.token = byId("token").value.trim();
  begin();
});
begin();
