// Tells beside the input for a login URL what is made of the address, as it is typed. Without this the next page tells it.

const WAIT_MILLISECONDS = 300;

function watch(input) {
  const told = document.createElement("div");
  told.className = "help sf-told"; // the admin's word, and ours
  told.setAttribute("aria-live", "polite");
  (input.closest(".flex-container") ?? input).after(told);
  let timer, request;

  function show(text, isBad) {
    told.textContent = text;
    told.classList.toggle("sf-told-bad", isBad);
  }

  async function ask() {
    request?.abort();
    if (!input.value.trim()) return show("", false);
    request = new AbortController();
    const values = new FormData(input.form);
    const body = new URLSearchParams({ login_url: input.value, app_kind: values.get("app_kind") ?? input.dataset.sfAppKind ?? "" });
    try {
      const answer = await fetch(input.dataset.sfLoginUrl, {
        method: "POST",
        body,
        headers: { Accept: "application/json", "X-CSRFToken": values.get("csrfmiddlewaretoken") },
        signal: request.signal,
      });
      const { told, error } = await answer.json();
      show(error ?? told, Boolean(error));
    } catch (error) {
      // Nothing is lost: the server judges the address again when the form is sent.
      if (error.name !== "AbortError") show("", false);
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MILLISECONDS);
  }

  input.addEventListener("input", soon);
  input.form.addEventListener("change", (event) => event.target.name === "app_kind" && soon());
  if (input.value) ask();
}

document.querySelectorAll("input[data-sf-login-url]").forEach(watch);
