// Ticking many connections: a box for all on the page, and how many are ticked. The form works without.

const boxes = () => [...document.querySelectorAll("input[name=chosen]")];

function tell() {
  const all = document.getElementById("sf-choose-all");
  const words = document.querySelector("#sf-selected [data-some]");
  if (!all || !words) return;
  const ticked = boxes().filter((box) => box.checked).length;
  all.hidden = false;
  all.checked = ticked > 0 && ticked === boxes().length;
  all.indeterminate = ticked > 0 && !all.checked;
  words.textContent = ticked ? words.dataset.some.replace("%s", ticked) : words.dataset.none;
}

document.addEventListener("change", ({ target }) => {
  if (target.id === "sf-choose-all") for (const box of boxes()) box.checked = target.checked;
  tell();
});
document.addEventListener("sf:changed", tell);
tell();
