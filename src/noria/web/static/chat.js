// The chat: asks the same door as everybody, shows the answer as it streams, remembers the
// conversation for as long as the tab lives.

import { events, make, problemOf, saidIn } from "./stream.js";

customElements.define("chat-room", class extends HTMLElement {
  #turns = [];
  #busy;
  #render;
  #answers;
  // The server keeps the conversation with an application under this name.
  #conversation;
  #app;

  async connectedCallback() {
    this.#render = (await import(this.dataset.markdown)).render;
    this.#answers = await import(this.dataset.answer);
    this.lines = this.querySelector(".lines");
    this.talk = this.querySelector(".talk");
    this.live = this.querySelector("[data-live]");
    this.model = this.querySelector("select[name=model]");
    this.system = this.querySelector("textarea[name=system]");
    this.text = this.querySelector("textarea[name=text]");
    this.send = this.querySelector("[data-do=send]");
    this.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#busy) this.#stop();
      else this.#ask();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#busy) this.#ask();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#busy) this.#stop();
    });
    this.querySelector("[data-do=new]").addEventListener("click", () => this.#begin());
    this.system.addEventListener("input", () => this.#save());
    this.model.addEventListener("change", () => this.#choose());
    this.#load();
    this.dataset.ready = "";
  }

  #load() {
    let kept = {};
    try {
      kept = JSON.parse(sessionStorage.getItem(this.dataset.store)) ?? {};
    } catch {
      // What another version kept is no loss.
    }
    const asked = new URLSearchParams(location.search).get("model");
    if (!asked && kept.model && [...this.model.options].some((one) => one.value === kept.model)) this.model.value = kept.model;
    this.system.value = kept.system ?? "";
    this.system.parentElement.open = Boolean(kept.system);
    this.#app = this.#chosen().app;
    this.system.parentElement.hidden = Boolean(this.#app);
    this.#conversation = kept.conversation;
    // An answer of an application goes to no other: what it has read may not.
    const same = (kept.app ?? "") === (this.#app ?? "");
    for (const turn of (same ? kept.turns : undefined) ?? []) {
      this.#turns.push(turn);
      this.#draw(turn);
    }
    this.talk.scrollTop = this.talk.scrollHeight;
  }

  #save() {
    const turns = this.#turns.map(({ node, said, foot, busy, ...kept }) => kept);
    try {
      sessionStorage.setItem(this.dataset.store, JSON.stringify({
        model: this.model.value, app: this.#app, conversation: this.#conversation, system: this.system.value, turns,
      }));
    } catch {
      // The storage is full: the conversation goes on and is not remembered.
    }
  }

  #chosen() {
    return this.model.selectedOptions[0]?.dataset ?? {};
  }

  #choose() {
    const { app } = this.#chosen();
    if (app !== this.#app && this.#turns.length) this.#begin();
    this.#app = app;
    this.system.parentElement.hidden = Boolean(app);
    this.#save();
  }

  #begin() {
    this.#stop();
    this.#turns = [];
    this.#conversation = undefined;
    this.lines.querySelectorAll(".turn").forEach((node) => node.remove());
    this.#save();
    this.text.focus();
  }

  #ask() {
    const content = this.text.value.trim();
    if (!content || !this.model.value) return;
    this.text.value = "";
    const { app } = this.#chosen();
    this.#app = app;
    if (app) this.#conversation ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const turn = { role: "user", content };
    this.#turns.push(turn);
    this.#draw(turn);
    this.#answer();
  }

  #again() {
    if (this.#busy) return;
    const last = this.#turns.at(-1);
    if (last?.role === "assistant") {
      this.#turns.pop();
      last.node.remove();
    }
    this.#answer();
  }

  #stop() {
    this.#busy?.abort();
  }

  #draw(turn) {
    const node = make("article", `turn ${turn.role}`);
    turn.node = node;
    turn.said = make("div", "said");
    node.append(make("header", "", turn.role === "user" ? "You" : turn.model), turn.said);
    if (turn.role === "user") turn.said.textContent = turn.content;
    else {
      turn.foot = make("div", "under");
      node.append(turn.foot);
      if (turn.content) this.#render(turn.said, turn.content);
      this.#answers.cite(turn.said, turn);
      this.#drawFoot(turn);
    }
    this.lines.append(node);
  }

  #drawFoot(turn) {
    turn.node.querySelector(".trouble")?.remove();
    if (turn.problem) {
      const trouble = make("p", "trouble", turn.problem);
      trouble.setAttribute("role", "alert");
      turn.foot.before(trouble);
    }
    const parts = (turn.under ?? []).map(({ text, title, className }) => {
      const part = make("span", className ?? "", text);
      if (title) part.title = title;
      return part;
    });
    parts.push(...this.#answers.remarks(turn.checks));
    if (turn.trace) {
      const link = make("a", "", turn.app ? "Run" : "Trace");
      link.href = `/traces/${encodeURIComponent(turn.trace)}`;
      parts.push(link);
      if (!turn.busy && turn.content) parts.push(this.#answers.thumbs(turn, () => this.#save()));
    }
    const last = turn === this.#turns.at(-1);
    // An application's conversation is kept by the server: what was said there stays said.
    if (!turn.busy && last && !turn.app) {
      this.lines.querySelector("[data-do=again]")?.remove();
      const again = make("button", "plain", "Regenerate");
      again.type = "button";
      again.dataset.do = "again";
      again.addEventListener("click", () => this.#again());
      parts.push(again);
    }
    turn.foot.replaceChildren(...parts);
  }

  #request(model) {
    const messages = this.#turns
      .filter(({ role, content }) => role === "user" || content)
      .map(({ role, content }) => ({ role, content }));
    if (!this.#app && this.system.value.trim()) messages.unshift({ role: "system", content: this.system.value.trim() });
    return { model, messages, stream: true, stream_options: { include_usage: true } };
  }

  async #answer() {
    const model = this.model.value;
    const { app, checked } = this.#chosen();
    const body = JSON.stringify(this.#request(model));
    const headers = { "content-type": "application/json", ...(app && { "x-noria-conversation": this.#conversation }) };
    const turn = { role: "assistant", content: "", model, app, busy: true };
    this.lines.querySelector("[data-do=again]")?.remove();
    this.#turns.push(turn);
    this.#draw(turn);
    turn.node.classList.add("busy");
    this.send.textContent = "Stop";
    const busy = new AbortController();
    this.#busy = busy;
    // Follow the end of the answer, unless the reader has scrolled away from it.
    let follow = true;
    const scrolled = () => { follow = this.talk.scrollHeight - this.talk.scrollTop - this.talk.clientHeight < 48; };
    this.talk.addEventListener("scroll", scrolled, { passive: true });
    this.talk.scrollTop = this.talk.scrollHeight;
    let spoken = 0;
    let frame;
    const paint = () => {
      frame = undefined;
      this.#render(turn.said, turn.content);
      if (follow) this.talk.scrollTop = this.talk.scrollHeight;
      const end = Math.max(turn.content.lastIndexOf(". "), turn.content.lastIndexOf("\n"));
      if (end > spoken) {
        this.live.textContent = turn.content.slice(spoken, end + 1);
        spoken = end + 1;
      }
    };
    const started = performance.now();
    let first;
    let usage;
    try {
      const answer = await fetch("/v1/chat/completions", {
        method: "POST", headers, body, signal: busy.signal,
      });
      turn.trace = answer.headers.get("x-noria-trace") ?? undefined;
      if (!answer.ok) throw new Error(await problemOf(answer));
      for await (const event of events(answer.body)) {
        if (event.error) throw new Error(event.error.message);
        usage = event.usage ?? usage;
        const piece = saidIn(event.choices?.[0]?.delta);
        if (!piece) continue;
        first ??= performance.now();
        turn.content += piece;
        frame ??= requestAnimationFrame(paint);
      }
    } catch (failure) {
      if (busy.signal.aborted) turn.stopped = true;
      else turn.problem = failure instanceof TypeError ? "The connection broke off. Is noria still running?" : failure.message;
    }
    if (frame) cancelAnimationFrame(frame);
    this.talk.removeEventListener("scroll", scrolled);
    paint();
    this.live.textContent = turn.content.slice(spoken) || turn.problem || "";
    turn.busy = false;
    turn.node.classList.remove("busy");
    if (this.#busy === busy) {
      this.#busy = undefined;
      this.send.textContent = "Send";
    }
    turn.under = this.#measured(turn, usage, started, first);
    this.#drawFoot(turn);
    this.#save();
    if (turn.trace) await this.#figures(turn);
    document.dispatchEvent(new Event("noria:recorded"));
    // Checks that do not hold an answer up come after it.
    if (checked !== undefined) for (const seconds of [3, 12]) setTimeout(() => this.#figures(turn), 1000 * seconds);
  }

  // What this page can tell by itself, until the record says it exactly.
  #measured(turn, usage, started, first) {
    const under = [{ text: turn.model, className: "model" }];
    if (turn.stopped) under.push({ text: "stopped" });
    if (usage) under.push({ text: `${usage.prompt_tokens} in, ${usage.completion_tokens} out` });
    if (first) under.push({ text: `first token ${Math.round(first - started)} ms` });
    return under;
  }

  async #figures(turn) {
    const found = await this.#answers.figuresOf(turn.trace);
    if (!found) return; // what was measured here stays
    const { model, tokens, ttft, rate, duration, cost, cost_exact, passages, checks } = found;
    turn.under = [
      { text: model ?? turn.model, className: "model" },
      ...(turn.stopped ? [{ text: "stopped" }] : []),
      { text: `${tokens[0]} in, ${tokens[1]} out` },
      { text: `first token ${ttft}` },
      { text: rate, title: `in ${duration}` },
      { text: cost, title: cost_exact },
    ].filter(({ text }) => !text.endsWith("–"));
    turn.checks = checks;
    if (passages && !turn.passages) {
      turn.passages = passages;
      this.#answers.cite(turn.said, turn);
    }
    this.#drawFoot(turn);
    this.#save();
  }
});
