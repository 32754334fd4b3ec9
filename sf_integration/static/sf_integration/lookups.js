// Conveniences of the lookup pages. All of them listen at the document, for the page's content may be replaced.

const show = (selector) => document.querySelectorAll(selector).forEach((one) => one.removeAttribute("hidden"));

// What only works with this script is hidden until it is here.
const prepare = () => show(".sf-fields-filter, .sf-keys, .sf-actions:has([data-sf-place])");

function runQuery(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.matches("textarea[name=soql]")) return;
  event.preventDefault();
  event.target.form.requestSubmit(event.target.form.querySelector("button"));
}

function filterFields(filter) {
  const wanted = filter.value.trim().toLowerCase();
  for (const group of filter.closest("details").querySelectorAll("fieldset")) {
    const choices = [...group.querySelectorAll("label")];
    for (const choice of choices) choice.hidden = !choice.textContent.toLowerCase().includes(wanted);
    group.hidden = choices.every((choice) => choice.hidden);
  }
}

function untick(button) {
  for (const box of button.closest("details").querySelectorAll("input:checked")) box.checked = false;
}

function goToPlace({ dataset }) {
  const box = document.querySelector("textarea[name=soql]");
  const start = Number(dataset.sfPlace);
  box.focus();
  box.setSelectionRange(start, start + Number(dataset.sfLength));
}

document.addEventListener("keydown", runQuery);
document.addEventListener("input", ({ target }) => target.matches("[data-sf-filter]") && filterFields(target));
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.matches("[data-sf-untick]")) untick(button);
  if (button?.matches("[data-sf-place]")) goToPlace(button);
});
// Enter in the filter would send the form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[data-sf-filter]")) event.preventDefault();
});
document.addEventListener("sf:shown", prepare);
prepare();
