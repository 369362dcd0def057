// What every page has: the wheel, the theme, keys, lists, copying, and what a chart's column says.

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

// The wheel turns a step when a call is recorded. Nothing is asked while nobody looks.
class Wheel extends HTMLElement {
  #newest;
  #steps = 0;
  #timer;

  connectedCallback() {
    if (!document.querySelector(".rail .foot")) return;
    this.#look();
    document.addEventListener("visibilitychange", () => this.#look());
    document.addEventListener("noria:recorded", () => this.#look());
  }

  async #look() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const answer = await fetch("/pulse", { headers: { accept: "application/json" } });
      if (!answer.ok || answer.redirected) return;
      const { newest } = await answer.json();
      if (this.#newest !== undefined && newest !== this.#newest) {
        this.#steps += 1;
        this.firstElementChild.style.transform = `rotate(${45 * this.#steps}deg)`;
        document.dispatchEvent(new Event("noria:turned"));
      }
      this.#newest = newest;
    } catch {
      // The server is away for now; the next look may find it.
    }
    this.#timer = setTimeout(() => this.#look(), 5000);
  }
}
customElements.define("noria-wheel", Wheel);

customElements.define("theme-switch", class extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    const name = button.querySelector("span");
    const themes = ["system", "light", "dark"];
    const show = () => { name.textContent = document.documentElement.dataset.theme ?? "system"; };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      const now = document.documentElement.dataset.theme ?? "system";
      const next = themes[(themes.indexOf(now) + 1) % themes.length];
      if (next === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      const age = next === "system" ? 0 : 31536000;
      document.cookie = `noria_theme=${next}; path=/; max-age=${age}; samesite=strict`;
      show();
    });
  }
});

const KEYS = [
  ["?", "This list"],
  ["j k", "Next and previous row"],
  ["Enter", "Open the row; in the chat, send"],
  ["/", "Search"],
  ["Esc", "Stop an answer; close"],
];

function listKeys() {
  const dialog = document.createElement("dialog");
  const title = Object.assign(document.createElement("h2"), { textContent: "Shortcuts" });
  const list = document.createElement("dl");
  const places = [...document.querySelectorAll(".rail a[data-go]")];
  const go = [`g then ${places.map((place) => place.dataset.go).join(" ")}`, `Go to ${places.map((place) => place.textContent).join(", ")}`];
  for (const [keys, meaning] of [KEYS[0], go, ...KEYS.slice(1)]) {
    const term = document.createElement("dt");
    for (const key of keys.split(" ")) {
      const tag = key === "then" ? "span" : "kbd";
      term.append(Object.assign(document.createElement(tag), { textContent: key }), " ");
    }
    list.append(term, Object.assign(document.createElement("dd"), { textContent: meaning }));
  }
  const close = Object.assign(document.createElement("button"), { className: "button", textContent: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.setAttribute("aria-label", "Shortcuts");
  dialog.append(title, list, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

customElements.define("keys-help", class extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    button.hidden = false;
    button.addEventListener("click", listKeys);
  }
});

// A list whose rows open: by a click anywhere in them, or with j, k and Enter.
class RowList extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const row = event.target.closest("tbody tr");
      if (!row || event.target.closest("a, button, input") || getSelection().toString()) return;
      const link = row.querySelector("a");
      if (!link) return;
      if (event.metaKey || event.ctrlKey) window.open(link.href, "_blank", "noopener");
      else link.click();
    });
  }

  move(step) {
    const links = [...this.querySelectorAll("tbody tr, li")].map((row) => row.querySelector("a")).filter(Boolean);
    let at = links.indexOf(document.activeElement);
    if (at < 0) at = links.findIndex((link) => link.hasAttribute("aria-current")) - (step < 0 ? -1 : 0);
    const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }
}
customElements.define("row-list", RowList);

// A whole table that is sorted by a press of its headings, and whose rows open.
customElements.define("sort-table", class extends RowList {
  connectedCallback() {
    super.connectedCallback();
    this.querySelectorAll("thead th").forEach((heading, column) => {
      if (!this.querySelector(`tbody td:nth-child(${column + 1})`) || heading.querySelector(".unseen")) return;
      const button = Object.assign(document.createElement("button"), { textContent: heading.textContent });
      heading.replaceChildren(button);
      button.addEventListener("click", () => this.#sort(heading, column));
    });
  }

  #sort(heading, column) {
    const down = heading.getAttribute("aria-sort") !== "descending";
    this.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const worth = (row) => {
      const cell = row.cells[column];
      return cell?.dataset.sort !== undefined ? Number(cell.dataset.sort) : (cell?.textContent.trim() ?? "");
    };
    const body = this.querySelector("tbody");
    const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
    body.append(...[...body.rows].sort((a, b) => order(worth(a), worth(b))));
  }
});

// "Refresh" says when there is something new.
customElements.define("fresh-link", class extends HTMLElement {
  connectedCallback() {
    const link = this.querySelector("a");
    document.addEventListener("noria:turned", () => { link.textContent = "Refresh: new calls"; });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.reload();
    });
  }
});

async function copy(button, text) {
  const before = button.textContent;
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

// A link to a text copies it instead; where the browser forbids that, it opens.
customElements.define("copy-link", class extends HTMLElement {
  connectedCallback() {
    const link = this.querySelector("a");
    link.addEventListener("click", (event) => {
      if (!navigator.clipboard?.write) return;
      event.preventDefault();
      const text = fetch(link.href).then((answer) => answer.text()).then((body) => new Blob([body], { type: "text/plain" }));
      copy(link, text).catch(() => { location.href = link.href; });
    });
  }
});

customElements.define("copy-text", class extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    button.hidden = !navigator.clipboard?.write;
    button.addEventListener("click", () => {
      const text = document.getElementById(this.getAttribute("from")).textContent;
      copy(button, new Blob([text], { type: "text/plain" }));
    });
  }
});

// What a column of a chart means stands in its <title>; beside the pointer it can be read sooner.
function tell() {
  let tip;
  document.addEventListener("pointermove", (event) => {
    const title = event.target.closest?.(".column")?.querySelector("title, desc");
    if (!title) {
      tip?.remove();
      tip = undefined;
      return;
    }
    if (title.localName === "title") {
      // A <desc> is not shown by the browser itself, which would put a second one beside ours.
      const described = document.createElementNS(title.namespaceURI, "desc");
      described.textContent = title.textContent;
      title.replaceWith(described);
    }
    tip ??= document.body.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    const text = title.textContent;
    if (tip.textContent !== text) tip.textContent = text;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8);
    tip.style.transform = `translate(${left}px, ${top}px)`;
  }, { passive: true });
}
tell();

// On a phone the rail is wider than the screen: show where one is.
document.querySelector(".rail nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const list = document.querySelector("main row-list, main sort-table");
  if (going) {
    going = false;
    document.querySelector(`.rail a[data-go="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "g") going = true;
  else if (event.key === "?") listKeys();
  else if (event.key === "/") {
    const search = document.querySelector("[data-slash]");
    if (!search) return;
    search.focus();
  } else if (event.key === "j") list?.move(1);
  else if (event.key === "k") list?.move(-1);
  else return;
  event.preventDefault();
});
