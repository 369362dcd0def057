// What stands under and in an answer: its figures, what its checks say, thumbs, and citations that
// open the passage they cite.

import { make } from "./stream.js";

// The figures of a run as the record has them; undefined while it is away.
export async function figuresOf(trace) {
  try {
    const answer = await fetch(`/traces/${encodeURIComponent(trace)}/figures`);
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined;
  }
}

// The checks that did not pass, each in a few calm words.
export function remarks(checks) {
  return (checks ?? [])
    .filter(({ outcome }) => outcome === "fail" || outcome === "error")
    .map(({ check, outcome }) => make("span", `state ${outcome}`, outcome === "fail" ? `check ${check} failed` : `check ${check} could not be made`));
}

// Two buttons that say what a person thinks of an answer.
export function thumbs(turn, save) {
  const node = make("span", "thumbs");
  const show = () => {
    if (turn.felt) {
      const more = make("a", "", "say more");
      more.href = `/traces/${encodeURIComponent(turn.trace)}#feedback`;
      node.replaceChildren(`Marked as ${turn.felt}, `, more);
      return;
    }
    node.replaceChildren(...[["Good", 1, "good"], ["Bad", -1, "bad"]].map(([label, score, felt]) => {
      const button = make("button", "plain", label);
      button.type = "button";
      button.title = `${label} answer`;
      button.addEventListener("click", () => give(score, felt));
      return button;
    }));
  };
  const give = async (score, felt) => {
    try {
      const answer = await fetch("/v1/feedback", {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ trace_id: turn.trace, score }),
      });
      if (!answer.ok) throw new Error((await answer.json()).error.message);
      turn.felt = felt;
      save();
      show();
    } catch (failure) {
      node.replaceChildren(failure instanceof TypeError ? "The connection broke off." : failure.message);
    }
  };
  show();
  return node;
}

// Make every `[n]` in an answer a button that opens the n-th passage of its run.
export function cite(said, turn) {
  if (!turn.passages) return;
  const walker = document.createTreeWalker(said, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement.closest("pre, code, a, button")) texts.push(walker.currentNode);
  }
  for (const text of texts) {
    const parts = text.data.split(/(\[\d{1,3}\])/);
    if (parts.length < 2) continue;
    text.replaceWith(...parts.map((part, i) => {
      const number = i % 2 ? Number(part.slice(1, -1)) : 0;
      if (number < 1 || number > turn.passages) return part;
      const button = make("button", "cite", part);
      button.type = "button";
      button.title = "Open the passage";
      button.addEventListener("click", () => open(turn.trace, number));
      return button;
    }));
  }
}

const fetched = new Map();

async function open(trace, number) {
  if (!fetched.has(trace)) {
    fetched.set(trace, fetch(`/traces/${encodeURIComponent(trace)}/documents`).then((answer) => (answer.ok ? answer.json() : [])));
  }
  let passage;
  try {
    passage = (await fetched.get(trace)).find((one) => one.number === number);
  } catch {
    fetched.delete(trace);
  }
  const dialog = make("dialog", "passage");
  dialog.setAttribute("aria-label", `Passage ${number}`);
  const head = make("h2", "", passage ? `[${number}] ${passage.title}` : `[${number}]`);
  const about = make("p", "quiet");
  if (passage) {
    const link = make("a", "", passage.document);
    link.href = `/indexes/${encodeURIComponent(passage.index)}/document?id=${encodeURIComponent(passage.document)}`;
    about.append(passage.label, " · ", passage.index ? link : passage.document, passage.why ? ` · ${passage.why}` : "", passage.deleted ? " · deleted since" : "");
  }
  const text = make("div", "text", passage?.text || "The passage is not in the record.");
  const close = make("button", "button", "Close");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  dialog.append(head, about, text, close);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}
