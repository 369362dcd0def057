// Markdown as models write it, made into nodes. Text only ever becomes text: HTML in it is shown
// as it stands. Links go to http and https.

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

const make = (tag, ...children) => {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
};

// Cut a text into blocks, each with the lines it is made of.
export function blocks(text) {
  const found = [];
  const lines = text.split("\n");
  let at = 0;
  const take = (kind, end) => {
    found.push({ kind, source: lines.slice(at, end).join("\n") });
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
    if (!line.trim()) { at += 1; continue; }
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

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|__(?=\S)([\s\S]*?\S)__|\*(?=[^\s*])([^*\n]*?[^\s*])\*|(?<!\w)_(?=\S)([^_\n]*?\S)_(?!\w)|\[([^\]\n]*)\]\((https?:\/\/[^\s()<>"]*)\)|(https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]*_])/g;

// Fill a node with a line's text, marks and links.
function fill(node, text) {
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    node.append(text.slice(last, match.index));
    last = match.index + match[0].length;
    const [, , code, strong, strong2, soft, soft2, label, target, bare] = match;
    if (code !== undefined) node.append(make("code", code.trim()));
    else if (strong ?? strong2) node.append(fill(make("strong"), strong ?? strong2));
    else if (soft ?? soft2) node.append(fill(make("em"), soft ?? soft2));
    else {
      const link = make("a", label || target || bare);
      link.href = target ?? bare;
      link.rel = "noopener noreferrer";
      link.target = "_blank";
      node.append(link);
    }
  }
  node.append(text.slice(last));
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
    if (space.length > stack.at(-1).indent + (stack.length > 1 ? 1 : 0)) {
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
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...rows] = source.split("\n");
  const row = (line, tag) => make("tr", ...cells(line).map((cell) => fill(make(tag), cell)));
  return make("table", make("thead", row(head, "th")), make("tbody", ...rows.map((line) => row(line, "td"))));
}

function build({ kind, source }) {
  switch (kind) {
    case "code": return codeBlock(source);
    case "heading": {
      const [, marks, text] = HEADING.exec(source);
      return fill(make(`h${Math.min(3, marks.length)}`), text.replace(/\s#+\s*$/, ""));
    }
    case "rule": return make("hr");
    case "quote": {
      const quote = make("blockquote");
      render(quote, source.replace(/^> ?/gm, ""));
      return quote;
    }
    case "list": return list(source);
    case "table": return table(source);
    default: return fill(make("p"), source);
  }
}

const drawn = new WeakMap();

// Show a text in a node. Blocks that are as before keep their nodes, so that what was read, marked
// or scrolled stays as it is while the end of the text grows.
export function render(node, text) {
  const before = drawn.get(node) ?? [];
  const now = blocks(text);
  now.forEach((block, i) => {
    if (before[i]?.source === block.source && before[i]?.kind === block.kind) {
      block.node = before[i].node;
      return;
    }
    block.node = build(block);
    if (before[i]) before[i].node.replaceWith(block.node);
    else node.append(block.node);
  });
  before.slice(now.length).forEach((block) => block.node.remove());
  drawn.set(node, now);
  return node;
}
