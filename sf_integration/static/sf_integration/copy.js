// Buttons that copy the text of another element. Without this they stay hidden, and the text can be selected.

const SHOWN_MILLISECONDS = 2000;

async function copy(button) {
  const source = document.getElementById(button.dataset.sfCopy);
  const word = button.querySelector("span");
  const before = word.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    word.textContent = "Copied";
  } catch {
    // No right to the clipboard, as on a page that came over plain http: select it, so that the keyboard can copy.
    getSelection().selectAllChildren(source);
    word.textContent = "Selected";
  }
  setTimeout(() => (word.textContent = before), SHOWN_MILLISECONDS);
}

function begin() {
  for (const button of document.querySelectorAll("button[data-sf-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

begin();
document.addEventListener("sf:changed", begin);
