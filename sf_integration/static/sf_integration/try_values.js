// Tests of a connection from the admin's form, with the seconds told while they run. Without this the page comes again.
//
//   data-sf-try    tested without leaving the page, so that a pasted private key and chosen files stay
//   data-sf-busy   sent as ever

const SECOND = 1000;
const place = document.getElementById("sf-trial");

/** Marks the button and counts the seconds beside it; returns what ends that. */
function busy(button, words) {
  const line = (button.closest(".submit-row") ?? document).querySelector(".sf-busy");
  const began = Date.now();
  const tell = () => (line.lastChild.textContent = ` ${Math.round((Date.now() - began) / SECOND)} s`);
  // The seconds alone are not read out, each one anew.
  line.replaceChildren(words, Object.assign(document.createElement("span"), { ariaHidden: "true" }));
  const ticking = setInterval(tell, SECOND);
  button.setAttribute("aria-busy", "true");
  return () => {
    clearInterval(ticking);
    line.replaceChildren();
    button.removeAttribute("aria-busy");
  };
}

async function tryValues(button) {
  const done = busy(button, button.dataset.sfTry);
  place.replaceChildren();
  try {
    const answer = await fetch(location.href, {
      method: "POST",
      body: new FormData(button.form, button),
      headers: { "X-Requested-With": "fetch" },
    });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    place.innerHTML = await answer.text();
  } catch {
    place.textContent = place.dataset.sfUnanswered;
  }
  done();
  place.scrollIntoView({ block: "nearest" });
}

for (const button of document.querySelectorAll("[data-sf-try]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (!button.hasAttribute("aria-busy")) tryValues(button);
  });
}

const ends = new Set();
for (const button of document.querySelectorAll("[data-sf-busy]")) {
  button.form.addEventListener("submit", (event) => {
    if (event.submitter !== button) return;
    if (button.hasAttribute("aria-busy")) event.preventDefault();
    else ends.add(busy(button, button.dataset.sfBusy));
  });
}
// Coming back by the browser's button, nothing runs any more.
addEventListener("pageshow", () => ends.forEach((end) => end()));
