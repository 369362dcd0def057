// The page of labels by keyboard: a key presses its button, or goes to its field.

const typing = (target) => target.closest?.("input, textarea, select");

customElements.define("row-label", class extends HTMLElement {
  #listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = CSS.escape(event.key);
    const field = this.querySelector(`[data-focus="${key}"]`);
    const button = this.querySelector(`[data-key="${key}"]`);
    if (!field && !button) return;
    event.preventDefault();
    if (field) field.focus();
    else button.click();
  };

  connectedCallback() {
    document.addEventListener("keydown", this.#listen);
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.#listen);
  }
});
