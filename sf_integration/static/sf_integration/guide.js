// Keeps the ticks of the set-up guide as they are made. Without this each room has a button that saves them.

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

for (const form of document.querySelectorAll("form[data-sf-steps]")) form.querySelector("button").hidden = true;

// The boxes lie outside of their form, so their events don't pass through it.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!box.form?.matches("form[data-sf-steps]")) return;
  const step = box.closest(".sf-guide-step");
  step.classList.toggle("sf-is-done", box.checked);
  step.querySelector("details").open = !box.checked;
  save(box.form);
});
