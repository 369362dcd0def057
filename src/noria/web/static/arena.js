// The arena: one question, two answers that stream side by side, one vote. The names come from the
// server, and only after the vote.

import { events, make, problemOf } from "./stream.js";

const WINNERS = { ArrowLeft: "model_a", ArrowRight: "model_b", ArrowDown: "tie", ArrowUp: "tie (bothbad)" };

const send = (path, fields, signal) => fetch(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields), signal,
});

customElements.define("blind-battle", class extends HTMLElement {
  #battle;
  #turns = 0;
  #busy;
  #over = false;
  #render;

  async connectedCallback() {
    this.#render = (await import(this.dataset.markdown)).render;
    this.sides = { a: this.querySelector("[data-side=a]"), b: this.querySelector("[data-side=b]") };
    this.text = this.querySelector("textarea[name=question]");
    this.category = this.querySelector("select[name=category]");
    this.submit = this.querySelector("[data-do=ask]");
    this.votes = [...this.querySelectorAll("[data-vote]")];
    this.live = this.querySelector("[data-live]");
    this.said = this.querySelector("[data-said]");
    this.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#busy) this.#busy.abort();
      else this.#ask();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#busy) this.#ask();
    });
    for (const button of this.votes) button.addEventListener("click", () => this.#vote(button.dataset.vote));
    this.querySelector("[data-do=new]").addEventListener("click", () => this.#begin());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#busy) this.#busy.abort();
      // An arrow moves the caret while something is being written.
      const writing = event.target === this.text && this.text.value;
      const winner = WINNERS[event.key];
      if (!winner || writing || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (event.target.matches("select")) return;
      if (this.#mayVote) {
        event.preventDefault();
        this.#vote(winner);
      }
    });
    this.#begin();
    this.dataset.ready = "";
  }

  get #mayVote() {
    return this.#turns > 0 && !this.#busy && !this.#over;
  }

  #begin() {
    this.#busy?.abort();
    this.#battle = undefined;
    this.#turns = 0;
    this.#over = false;
    for (const [side, column] of Object.entries(this.sides)) {
      column.querySelector("h2").textContent = side === "a" ? "Left" : "Right";
      column.querySelector(".moved").textContent = "";
      column.querySelector(".lines").replaceChildren();
      column.classList.remove("won");
    }
    this.#say("");
    this.category.disabled = false;
    this.text.disabled = false;
    this.text.value = "";
    this.#offer();
    this.text.focus();
  }

  #offer() {
    for (const button of this.votes) button.disabled = !this.#mayVote;
    this.submit.textContent = this.#busy ? "Stop" : "Ask both";
    this.submit.disabled = this.#over;
  }

  #say(text, bad = false) {
    this.said.textContent = text;
    this.said.classList.toggle("trouble", bad);
  }

  async #ask() {
    const question = this.text.value.trim();
    if (!question || this.#over) return;
    const busy = new AbortController();
    this.#busy = busy;
    this.#offer();
    this.#say("");
    const answers = {};
    try {
      if (!this.#battle) {
        const answer = await send("/v1/arena/battles", { category: this.category.value }, busy.signal);
        if (!answer.ok) throw new Error(await problemOf(answer));
        this.#battle = (await answer.json()).id;
        this.category.disabled = true;
      }
      const answer = await send(`/v1/arena/battles/${this.#battle}/turns`, { question }, busy.signal);
      if (!answer.ok) throw new Error(await problemOf(answer));
      this.text.value = "";
      for (const side of ["a", "b"]) answers[side] = this.#open(side, question);
      for await (const event of events(answer.body)) {
        const one = answers[event.side];
        if (event.end === undefined) one.add(event.text);
        else one.close(event.end, event.error);
      }
      this.#turns += 1;
    } catch (failure) {
      // What was stopped has a turn in the record, so it may be voted on; the vote is set apart.
      if (busy.signal.aborted) this.#turns += Object.keys(answers).length ? 1 : 0;
      else this.#say(failure instanceof TypeError ? "The connection broke off. Is noria still running?" : failure.message, true);
    }
    for (const one of Object.values(answers)) one.close();
    if (this.#busy === busy) this.#busy = undefined;
    this.#offer();
    if (this.#mayVote) {
      this.live.textContent = "Both answers are there. Vote with the arrow keys.";
      this.text.blur();
    }
  }

  // One side's answer to one question: grows, then ends.
  #open(side, question) {
    const lines = this.sides[side].querySelector(".lines");
    const asked = make("article", "turn user", question);
    const turn = make("article", "turn assistant busy");
    const said = make("div", "said");
    turn.append(said);
    lines.append(asked, turn);
    let content = "";
    let frame;
    let ended = false;
    const paint = () => {
      frame = undefined;
      this.#render(said, content);
    };
    return {
      add: (text) => {
        content += text;
        frame ??= requestAnimationFrame(paint);
      },
      close: (end, error) => {
        if (ended) return;
        ended = true;
        if (frame) cancelAnimationFrame(frame);
        paint();
        turn.classList.remove("busy");
        if (error) turn.append(make("p", "trouble", error));
      },
    };
  }

  async #vote(winner) {
    if (!this.#mayVote) return;
    this.#over = true;
    this.#offer();
    try {
      const answer = await send(`/v1/arena/battles/${this.#battle}/vote`, { winner });
      if (!answer.ok) throw new Error(await problemOf(answer));
      this.#reveal(await answer.json());
    } catch (failure) {
      this.#say(failure.message, true);
    }
    this.text.disabled = true;
    this.querySelector("[data-do=new]").focus();
  }

  #reveal(told) {
    for (const [side, name] of [["a", told.model_a], ["b", told.model_b]]) {
      const column = this.sides[side];
      column.querySelector("h2").textContent = name;
      const before = told.ratings_before[name];
      const after = told.ratings_after[name];
      const moved = column.querySelector(".moved");
      if (after === undefined) moved.textContent = "not rated yet";
      else if (before === undefined) moved.textContent = `rated ${Math.round(after)}`;
      else moved.textContent = `${Math.round(before)} → ${Math.round(after)}`;
      column.classList.toggle("won", told.winner === `model_${side}`);
    }
    const said = { model_a: `${told.model_a} wins`, model_b: `${told.model_b} wins`, tie: "A tie" }[told.winner] ?? "Both bad";
    this.#say(told.counts ? `${said}.` : `${said}. This vote is set apart: ${told.excluded}.`);
    this.live.textContent = `Left was ${told.model_a}, right was ${told.model_b}.`;
  }
});
