// Draws every element with data-chart from the Vega-Lite specification behind that address, with the
// interpreter instead of eval (the pages' CSP forbids it), and draws again when the data or the theme change.
import { expressionInterpreter } from "./vendor/vega-interpreter-2.3.2.js";

const EVERY = 60_000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();

function theme() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const font = "system-ui, sans-serif";
  return {
    background: null,
    font,
    view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500 },
    legend: { labelColor: ink, titleColor: soft, orient: "bottom", titleFontWeight: 500, columns: 3 },
    text: { color: ink },
  };
}

async function draw(element, text) {
  const spec = JSON.parse(text);
  const { spec: compiled } = vegaLite.compile(spec, { config: theme(), logger: vega.logger(vega.Error) });
  const before = drawn.get(element);
  before?.view?.finalize();
  element.replaceChildren();
  const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
    container: element,
    expr: expressionInterpreter,
    renderer: "svg",
    hover: true,
    logLevel: vega.Error,
  });
  drawn.set(element, { text, view });
  await view.runAsync();
  element.setAttribute("data-drawn", "");
}

async function load(element) {
  try {
    const answer = await fetch(element.dataset.chart, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const text = await answer.text();
    if (drawn.get(element)?.text !== text) await draw(element, text);
  } catch (problem) {
    if (!drawn.has(element)) element.textContent = `This chart could not be drawn: ${problem.message}.`;
  }
}

const charts = () => document.querySelectorAll("[data-chart]");
charts().forEach(load);
setInterval(() => { if (!document.hidden) charts().forEach(load); }, EVERY);
dark.addEventListener("change", () => { drawn.forEach(({ text }, element) => draw(element, text)); });
