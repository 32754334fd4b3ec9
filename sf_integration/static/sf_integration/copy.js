// Buttons that copy the text of another element. Without this they stay hidden, and the text can be selected.
// What they say afterwards stands in the page, translated.

const SHOWN_MILLISECONDS = 2000;
const { copied, selected } = document.getElementById("sf-told").dataset;

async function copy(button, before) {
  const source = document.getElementById(button.dataset.sfCopy);
  const word = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(source.textContent);
    word.textContent = copied;
  } catch {
    // No right to the clipboard, as on a page that came over plain http: select it, so that the keyboard can copy.
    getSelection().selectAllChildren(source);
    word.textContent = selected;
  }
  setTimeout(() => (word.textContent = before), SHOWN_MILLISECONDS);
}

function begin() {
  for (const button of document.querySelectorAll("button[data-sf-copy][hidden]")) {
    button.hidden = false;
    const before = button.querySelector("span").textContent;
    button.addEventListener("click", () => copy(button, before));
  }
}

begin();
document.addEventListener("sf:changed", begin);
