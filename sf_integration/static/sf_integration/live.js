// Keeps the marked parts of a page up to date. Without this they are as old as the page.
//
//   <div id="state" data-live="15">     fetched anew every 15 s from the page's own address
//     <h1 data-live-say>Failing</h1>    read out when its text has changed
//
// What the reader has opened, ticked, scrolled and focused stays. After each change the document gets the event
// `sf:changed`, for scripts that prepare what is on the page. The sentences stand in the page, translated.

const SECOND = 1000;
const LONGEST_PAUSE = 300 * SECOND;
const told = document.getElementById("sf-told"); // a line at the foot of the window
const said = document.getElementById("sf-said"); // for screen readers alone

const regions = () => [...document.querySelectorAll("[data-live]")];
const interval = () => Math.min(...regions().map((region) => region.dataset.live * SECOND));

// ---- One region -----------------------------------------------------------------------------------------------------

const shown = new WeakMap();
// Each answer brings forms new tokens; that alone is no change.
const content = (region) => region.innerHTML.replace(/(csrfmiddlewaretoken" value=")[^"]*/g, "$1");

function nameOf(one) {
  const words = one.ariaLabel ?? (one.querySelector("summary") ?? one).textContent.trim();
  return one.id || [one.closest("[id]").id, one.localName, one.name, one.defaultValue, one.href, words].join();
}

// By their names, those of one name in their order.
function partsOf(region) {
  const parts = new Map();
  for (const one of region.querySelectorAll("a, button, input, details, summary, [tabindex]")) {
    let name = nameOf(one);
    while (parts.has(name)) name += "+";
    parts.set(name, one);
  }
  return parts;
}

// What the reader did to it.
function stateOf(one) {
  if (one.localName === "input") return { checked: one.checked, ...(one.value !== one.defaultValue && { value: one.value }) };
  if (one.localName === "details") return { open: one.open };
  return one.scrollLeft || one.scrollTop ? { scrollLeft: one.scrollLeft, scrollTop: one.scrollTop } : {};
}

const sayings = (region) =>
  [region, ...region.querySelectorAll("[data-live-say]")]
    .filter((one) => one.hasAttribute("data-live-say"))
    .map((one) => one.textContent.trim());

// Whoever types, presses or selects something there is not to be disturbed.
function inUse(region) {
  const field = region.querySelector("input:not([type=checkbox], [type=radio]):focus, select:focus, textarea:focus");
  const selection = getSelection();
  return field || region.matches(":active") || (!selection.isCollapsed && selection.containsNode(region, true));
}

/** Whether there was something new to show. */
function renew(region, fresh) {
  if (content(fresh) === shown.get(region) || inUse(region)) return false;
  const words = sayings(region);
  const before = [...partsOf(region)].map(([name, one]) => [name, stateOf(one), one === document.activeElement]);
  shown.set(region, content(fresh));
  region.innerHTML = fresh.innerHTML;
  const present = partsOf(region);
  for (const [name, state, hadFocus] of before.filter(([name]) => present.has(name))) {
    Object.assign(present.get(name), state);
    if (hadFocus) present.get(name).focus({ preventScroll: true });
  }
  const news = sayings(region).filter((text) => !words.includes(text));
  if (news.length) said.textContent = news.join(" ");
  return true;
}

// ---- The page -------------------------------------------------------------------------------------------------------

let pause = 0;
let timer;

async function page() {
  const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(15 * SECOND) });
  const elsewhere = new URL(answer.url).pathname !== location.pathname;
  if (elsewhere || answer.status === 401 || answer.status === 403) return null;
  if (!answer.ok) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Whether it makes sense to ask again. */
async function refresh() {
  // The answer to a form under way is about to replace all this, and its message must not be spent here.
  const isBusy = () => document.querySelector("form[aria-busy]");
  if (isBusy()) return true;
  const asked = location.href;
  const fresh = await page();
  if (isBusy() || asked !== location.href) return true;
  if (fresh === null) {
    told.textContent = told.dataset.signedOut;
    return false;
  }
  const pairs = regions().map((region) => [region, fresh.getElementById(region.id)]);
  const renewed = pairs.filter(([region, one]) => one && renew(region, one));
  if (renewed.length) document.dispatchEvent(new Event("sf:changed"));
  return true;
}

async function beat() {
  try {
    if (!(await refresh())) return;
    if (pause) told.textContent = "";
    pause = 0;
  } catch {
    pause = Math.min(2 * pause || interval(), LONGEST_PAUSE);
    told.textContent = told.dataset.unreachable;
  }
  schedule(pause || interval());
}

// While nobody looks, nothing is asked; whoever comes back sees the present at once.
function schedule(milliseconds) {
  clearTimeout(timer);
  if (document.visibilityState === "visible" && regions().length) timer = setTimeout(beat, milliseconds);
}

function begin() {
  for (const region of regions()) if (!shown.has(region)) shown.set(region, content(region));
}

// Pages show times in the zone that this cookie names; the first one can't know it.
function tellZone() {
  const cookie = `sf_timezone=${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  if (document.cookie.split("; ").includes(cookie)) return false;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${cookie}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  return true;
}

begin();
schedule(tellZone() ? 0 : interval());
document.addEventListener("visibilitychange", () => schedule(0));
document.addEventListener("sf:shown", () => {
  begin();
  schedule(interval());
});
