// Each chart takes the place of its picture only once it is drawn: without scripts the pictures stay.
const { specs, ink } = JSON.parse(document.getElementById("charts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
async function draw() {
  const style = getComputedStyle(document.documentElement);
  for (const holder of document.querySelectorAll("[data-chart]")) {
    let text = JSON.stringify(specs[holder.dataset.chart]);
    for (const [name, colour] of Object.entries(ink)) {
      text = text.replaceAll(`"${colour}"`, JSON.stringify(style.getPropertyValue(`--${name}`).trim()));
    }
    const spec = JSON.parse(text);
    for (const layer of spec.layer) {
      if (typeof layer.mark === "object") layer.mark.tooltip = { content: "data" };
    }
    const stage = document.createElement("div");
    await window.vegaEmbed(stage, spec, { actions: false, renderer: "svg", ast: false });
    holder.replaceChildren(stage);
  }
  document.documentElement.dataset.charts = "live";
}
dark.addEventListener("change", draw);
draw();
