// Keeps the ticks of the set-up guide as they are made. Without this each room has a button that saves them.

const stepOf = (box) => box.closest(".sf-guide-step");
const bodyOf = (step) => step.querySelector("details");
const boxesOf = (form) => [...form.elements].filter((element) => element.name === "done");

function show(progress) {
  for (const place of document.querySelectorAll("[data-sf-progress]")) {
    place.textContent = progress[place.dataset.sfProgress];
  }
  for (const meter of document.querySelectorAll("progress[data-sf-meter]")) {
    meter.value = document.querySelectorAll("input[name=done]:checked").length;
  }
}

async function save(form) {
  const button = form.querySelector("button");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "application/json" },
    });
    show(await answer.json());
    button.hidden = true;
  } catch {
    // Offline, or signed out: the button does it the plain way, and leads to sign-in if need be.
    button.hidden = false;
  }
}

function goOn(step) {
  let next = step.nextElementSibling;
  while (next?.classList.contains("sf-is-done")) next = next.nextElementSibling;
  if (next) bodyOf(next).open = true;
}

function changed(box) {
  const step = stepOf(box);
  step.classList.toggle("sf-is-done", box.checked);
  bodyOf(step).open = !box.checked;
  if (box.checked) goOn(step);
  return save(box.form);
}

// Whoever follows a link to a step wants to read it.
function openTarget() {
  const step = document.getElementById(location.hash.slice(1));
  if (step?.matches(".sf-guide-step")) bodyOf(step).open = true;
}

function begin() {
  for (const form of document.querySelectorAll("form[data-sf-steps]")) {
    form.querySelector("button").hidden = true;
    // Ticked before this was loaded, or brought back by the browser.
    boxesOf(form).filter((box) => box.checked !== box.defaultChecked).forEach(changed);
  }
  openTarget();
}

// The boxes lie outside of their form, so their events don't pass through it.
document.addEventListener("change", ({ target }) => target.form?.matches("form[data-sf-steps]") && changed(target));
addEventListener("hashchange", openTarget);
document.addEventListener("sf:shown", begin);
begin();
