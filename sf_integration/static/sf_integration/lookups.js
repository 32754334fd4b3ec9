// Conveniences of the lookup pages. All of them listen at the document, for the page's content may be replaced.

const show = (selector) => document.querySelectorAll(selector).forEach((one) => one.removeAttribute("hidden"));

const queryBox = () => document.querySelector("textarea[name=soql]");

function prepare() {
  // What only works with this script is hidden until it is here.
  show(".sf-fields-filter, .sf-keys, .sf-actions:has([data-sf-place])");
  const box = queryBox();
  if (box && !box.value) box.value = history.state?.soql ?? "";
}

// A reload asks for the page anew, which then has no query. The entry of the history, unlike storage, ends with the tab
// and is nobody else's.
function keepQuery({ target }) {
  if (target === queryBox()) history.replaceState({ ...history.state, soql: target.value }, "");
}

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
  const box = queryBox();
  const start = Number(dataset.sfPlace);
  box.focus();
  box.setSelectionRange(start, start + Number(dataset.sfLength));
}

document.addEventListener("keydown", runQuery);
document.addEventListener("input", keepQuery);
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
