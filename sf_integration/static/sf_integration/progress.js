// Sends slow forms while the page stays usable. Without this the browser sends them, and waits.
//
//   <form method="post" data-progress="Checking …">   sent in the background; its answer takes the page's place
//     <button data-plain>Download</button>            but for this button, whose answer is the browser's
//
// Leaving the page stops nothing on the server. Afterwards the document gets the events `sf:shown` and `sf:changed`.

const SECOND = 1000;
const AT_ONCE = 0.3 * SECOND; // what is answered within needs no line saying that it is under way
const told = document.getElementById("sf-told");

// The line with the running seconds, which screen readers don't count aloud.
function count(words) {
  const began = Date.now();
  const clock = Object.assign(document.createElement("span"), { ariaHidden: "true" });
  const line = setTimeout(() => told.replaceChildren(`${words} `, clock), AT_ONCE);
  const ticking = setInterval(() => (clock.textContent = `${Math.round((Date.now() - began) / SECOND)} s`), SECOND);
  return () => {
    clearTimeout(line);
    clearInterval(ticking);
    told.replaceChildren();
  };
}

function mark(form, button) {
  const stop = count(form.dataset.progress);
  form.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-disabled", "true"); // `disabled` itself would take the focus away
  return () => {
    stop();
    form.removeAttribute("aria-busy");
    button?.removeAttribute("aria-busy");
    button?.removeAttribute("aria-disabled");
  };
}

// The styles and scripts that the new page has and this one lacks. Styles are waited for, so that nothing jumps.
function completeHead(page) {
  const address = (one) => one.href ?? one.src;
  const had = new Set([...document.querySelectorAll("link[rel=stylesheet], script[src]")].map(address));
  const missing = [...page.head.querySelectorAll("link[rel=stylesheet], script[src]")].filter((one) => !had.has(address(one)));
  const loaded = missing.map((one) => new Promise((done) => {
    const copy = document.createElement(one.localName);
    for (const { name, value } of one.attributes) copy.setAttribute(name, value);
    copy.onload = copy.onerror = done;
    document.head.append(copy);
  }));
  return Promise.all(loaded);
}

const parts = (page) => ["body > header", "body > main"].map((selector) => page.querySelector(selector));

async function show(page, url) {
  await completeHead(page);
  if (url !== location.href.split("#")[0]) history.pushState(null, "", url);
  address = location.pathname + location.search;
  document.title = page.title;
  const fresh = parts(page);
  parts(document).forEach((part, place) => part.replaceWith(fresh[place]));
  const first = document.querySelector("main :is([autofocus], [role=alert], .sf-message[role=status])") ?? document.querySelector("h1");
  first?.setAttribute("tabindex", "-1");
  first?.focus();
  document.dispatchEvent(new Event("sf:shown"));
  document.dispatchEvent(new Event("sf:changed"));
}

async function send(form, button) {
  const url = new URL(button?.getAttribute("formaction") ?? form.getAttribute("action") ?? "", location.href);
  const body = new FormData(form, button);
  const done = mark(form, button);
  try {
    const answer = await fetch(url, { method: "POST", body });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (parts(page).every(Boolean)) await show(page, answer.url);
    else if (answer.ok) location.assign(answer.url);
    else throw new Error(answer.status);
    done();
  } catch {
    done();
    told.textContent = told.dataset.unanswered;
  }
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (event.defaultPrevented || !form.matches("form[data-progress]") || button?.hasAttribute("data-plain")) return;
  event.preventDefault();
  if (!form.hasAttribute("aria-busy")) send(form, button);
});

// Back and forward lead to pages whose content went when it was replaced.
let address = location.pathname + location.search;
addEventListener("popstate", () => {
  if (location.pathname + location.search !== address) location.reload();
});
