// Markdown as models write it, made into nodes. Text only ever becomes text: HTML in it is shown
// as it stands. Links go to http and https.

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^(#{1,6})\s+([^]*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+([^]*)/;
const RULE = { test: (line) => /^[-*_]{3,}$/.test(line.replace(/\s+/g, "")) && new Set(line.replace(/\s+/g, "")).size === 1 };
const DIVIDER = { test: (line) => line.includes("-") && cellsOf(line).every((cell) => /^:?-+:?$/.test(cell)) };
const cellsOf = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

const make = (tag, ...children) => {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
};

// Cut a text, from a block's end on, into blocks: each with the lines it is made of and the place
// where it ends in the text.
export function blocks(text, from = 0) {
  const found = [];
  const lines = text.slice(from).split("\n");
  let at = 0;
  let place = from;
  const take = (kind, end) => {
    const source = lines.slice(at, end).join("\n");
    place += source.length + 1;
    found.push({ kind, source, end: Math.min(place, text.length) });
    at = end;
  };
  const until = (stop) => {
    let end = at + 1;
    while (end < lines.length && !stop(lines[end], end)) end += 1;
    return end;
  };
  const begins = (line) => FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || line.startsWith(">") || RULE.test(line);
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) { at += 1; place += line.length + 1; continue; }
    const fence = FENCE.exec(line);
    if (fence) {
      const end = until((one) => one.trim().startsWith(fence[1]) && !one.trim().slice(fence[1].length).trim());
      take("code", Math.min(lines.length, end + 1));
    } else if (HEADING.test(line)) take("heading", at + 1);
    else if (RULE.test(line)) take("rule", at + 1);
    else if (line.startsWith(">")) take("quote", until((one) => !one.startsWith(">")));
    else if (ITEM.test(line)) {
      take("list", until((one, i) => (one.trim() ? !ITEM.test(one) && !/^\s/.test(one) && (FENCE.test(one) || HEADING.test(one) || !lines[i - 1].trim()) : !(lines[i + 1] && (ITEM.test(lines[i + 1]) || /^\s{2,}\S/.test(lines[i + 1]))))));
    } else if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "")) take("table", until((one) => !one.includes("|")));
    else take("paragraph", until((one) => !one.trim() || begins(one)));
  }
  return found;
}

// The marks of a line, read once from left to right: each opening mark is put on a stack, and a
// closing one takes its own from there, if it is within the nearest few, so that no text makes the
// reader go back and forth. What is left open is text.
const MARK = /(`+)|(\*\*|__|\*|_)|(\[)|(\]\((https?:\/\/[^\s()<>"]{0,2000})\))|(https?:\/\/[^\s<>"'`]{1,2000})/g;
const END_OF_LINK = /[.,;:!?)\]*_]+$/;
const WORD = /[\p{L}\p{N}_]/u;
const DEEPEST_MARKS = 8;

export function inline(text) {
  const root = { kind: "root", parts: [] };
  const open = [root];
  const ticks = new Map(); // where runs of backticks of each length stand, found in one pass
  for (const run of text.matchAll(/`+/g)) {
    const places = ticks.get(run[0].length) ?? { at: [], next: 0 };
    places.at.push(run.index);
    ticks.set(run[0].length, places);
  }
  let last = 0;
  let steps = 0;
  let plainFrom = 0;
  const say = (end) => { if (end > plainFrom) open.at(-1).parts.push(text.slice(plainFrom, end)); };
  const finder = new RegExp(MARK);
  for (let match = finder.exec(text); match; match = finder.exec(text)) {
    steps += 1;
    const { index } = match;
    const [whole, tick, mark, bracket, target, address, bare] = match;
    const after = text[index + whole.length] ?? " ";
    const before = text[index - 1] ?? " ";
    last = index + whole.length;
    if (tick) {
      const places = ticks.get(tick.length);
      while (places.next < places.at.length && places.at[places.next] <= index) { places.next += 1; steps += 1; }
      const end = places.at[places.next];
      if (end === undefined) continue;
      say(index);
      open.at(-1).parts.push({ kind: "code", text: text.slice(last, end).trim() });
      last = end + tick.length;
    } else if (mark) {
      const inWord = mark[0] === "_" && WORD.test(before) && WORD.test(after);
      const place = open.findLastIndex((one) => one.kind === mark);
      steps += open.length;
      if (place > 0 && !/\s/.test(before) && !inWord && index > open[place].end) {
        say(index);
        while (open.length > place + 1) leave(open);
        const closed = open.pop();
        open.at(-1).parts.push({ kind: mark.length === 2 ? "strong" : "em", parts: closed.parts });
      } else if (!/\s/.test(after) && !inWord && open.length < DEEPEST_MARKS) {
        say(index);
        open.push({ kind: mark, end: last, parts: [] });
      } else continue;
    } else if (bracket) {
      if (open.some((one) => one.kind === "[")) { // a link holds no other: the later one counts
        say(index);
        while (open.at(-1).kind !== "[") leave(open);
        leave(open);
      } else if (open.length >= DEEPEST_MARKS) continue;
      else say(index);
      open.push({ kind: "[", end: last, parts: [] });
    } else if (target) {
      const place = open.findLastIndex((one) => one.kind === "[");
      if (place < 0) continue;
      say(index);
      while (open.length > place + 1) leave(open);
      const closed = open.pop();
      open.at(-1).parts.push({ kind: "link", target: address, parts: closed.parts.length ? closed.parts : [address] });
    } else {
      if (open.some((one) => one.kind === "[")) continue; // it is a label, or will be text
      const link = bare.replace(END_OF_LINK, "");
      if (link.length < 9) continue;
      say(index);
      open.at(-1).parts.push({ kind: "link", target: link, parts: [link] });
      last = index + link.length;
    }
    plainFrom = last;
    finder.lastIndex = last;
  }
  say(text.length);
  while (open.length > 1) leave(open);
  return { parts: root.parts, steps };
}

// What was opened and never closed is text.
function leave(open) {
  const left = open.pop();
  const { parts } = open.at(-1);
  parts.push(left.kind);
  for (const part of left.parts) parts.push(part);
}

// Fill a node with a line's text, marks and links.
function fill(node, text) {
  return put(node, inline(text).parts);
}

function put(node, parts) {
  let words = "";
  const flush = () => { if (words) node.append(words); words = ""; };
  for (const part of parts) {
    if (typeof part === "string") { words += part; continue; }
    flush();
    if (part.kind === "code") node.append(make("code", part.text));
    else if (part.kind !== "link") node.append(put(make(part.kind), part.parts));
    else {
      const link = put(make("a"), part.parts);
      link.href = part.target;
      link.rel = "noopener noreferrer";
      link.target = "_blank";
      node.append(link);
    }
  }
  flush();
  return node;
}

function codeBlock(source) {
  const lines = source.split("\n");
  const [, fence, language] = FENCE.exec(lines[0]);
  const closed = lines.length > 1 && lines.at(-1).trim().startsWith(fence);
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const button = make("button", "Copy");
  button.type = "button";
  button.className = "plain";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  const block = make("div", make("header", make("span", language || "text"), button), make("pre", make("code", text)));
  block.className = "block";
  return block;
}

function list(source) {
  const root = { indent: -1, node: make("div") };
  const stack = [root];
  let item;
  for (const line of source.split("\n")) {
    const match = ITEM.exec(line);
    if (!match) {
      if (item && line.trim()) fill(item, ` ${line.trim()}`);
      continue;
    }
    const [, space, mark, text] = match;
    while (stack.length > 1 && space.length < stack.at(-1).indent) stack.pop();
    if (stack.length === 1 || (space.length > stack.at(-1).indent + 1 && stack.length <= DEEPEST_LISTS)) {
      const ordered = /\d/.test(mark);
      const node = make(ordered ? "ol" : "ul");
      if (ordered) node.start = parseInt(mark, 10);
      (stack.length > 1 ? item : root.node).append(node);
      stack.push({ indent: space.length, node });
    }
    item = fill(make("li"), text);
    stack.at(-1).node.append(item);
  }
  return root.node.children.length === 1 ? root.node.firstChild : root.node;
}

function table(source) {
  const [head, , ...rows] = source.split("\n");
  const row = (line, tag) => make("tr", ...cellsOf(line).map((cell) => fill(make(tag), cell)));
  return make("table", make("thead", row(head, "th")), make("tbody", ...rows.map((line) => row(line, "td"))));
}

const DEEPEST_QUOTES = 8;
const DEEPEST_LISTS = 12;

function build({ kind, source }, depth = 0) {
  switch (kind) {
    case "code": return codeBlock(source);
    case "heading": {
      const [, marks, text] = HEADING.exec(source);
      return fill(make(`h${Math.min(3, marks.length)}`), text.trimEnd().replace(/[ \t]#{1,100}$/, ""));
    }
    case "rule": return make("hr");
    case "quote": {
      const quote = make("blockquote");
      const inner = source.replace(/^> ?/gm, "");
      if (depth >= DEEPEST_QUOTES) fill(quote, inner);
      else quote.append(...blocks(inner).map((block) => build(block, depth + 1)));
      return quote;
    }
    case "list": return list(source);
    case "table": return table(source);
    default: return fill(make("p"), source);
  }
}

const drawn = new WeakMap();

// Show a text in a node. Where it is the text shown before with more at its end, only the last two
// blocks are read again: a line more can change no other. Blocks that are as before keep their
// nodes, so that what was read, marked or scrolled stays as it is while the text grows.
export function render(node, text) {
  const before = drawn.get(node) ?? { text: "", blocks: [] };
  const grown = text.startsWith(before.text);
  const kept = grown ? before.blocks.slice(0, -2) : [];
  const from = kept.length ? kept.at(-1).end : 0;
  const now = blocks(text, from);
  now.forEach((block, i) => {
    const old = before.blocks[kept.length + i];
    if (old?.source === block.source && old?.kind === block.kind) {
      block.node = old.node;
      return;
    }
    block.node = build(block);
    if (old) old.node.replaceWith(block.node);
    else node.append(block.node);
  });
  before.blocks.slice(kept.length + now.length).forEach((block) => block.node.remove());
  drawn.set(node, { text, blocks: [...kept, ...now] });
  return node;
}
