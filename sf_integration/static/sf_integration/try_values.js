// "Test without saving" without leaving the page, so that a pasted private key and chosen files stay. Without this the page
// comes again with the outcome.

async function tryValues(button, place) {
  const form = button.form;
  const values = new FormData(form);
  values.append(button.name, button.value);
  button.disabled = true;
  place.textContent = "Testing …";
  try {
    const answer = await fetch(location.href, {
      method: "POST",
      body: values,
      headers: { "X-Requested-With": "fetch" },
    });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    place.innerHTML = await answer.text();
  } catch {
    place.textContent = "The test could not be run: this site did not answer, or you are signed out. Nothing was saved.";
  }
  button.disabled = false;
  place.scrollIntoView({ block: "nearest" });
}

const place = document.getElementById("sf-trial");
for (const button of document.querySelectorAll("input[data-sf-try]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    tryValues(button, place);
  });
}
