// Reading what the door answers, for every page that talks with it.

// A node with a class and a text.
export const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

// The data of each event of a stream, until `[DONE]`.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

// What a refusal says, with its code.
export async function problemOf(answer) {
  const text = await answer.text();
  try {
    const { message, code } = JSON.parse(text).error;
    return code ? `${message} (${code})` : message;
  } catch {
    return `The door answered ${answer.status}.`;
  }
}

// What a piece of an answer says: a text, parts of which some are thoughts, or a refusal.
export function saidIn(delta) {
  const content = delta?.content;
  const parts = Array.isArray(content) ? content : [content];
  const said = parts.map((part) => (typeof part === "string" ? part : part?.text ?? "")).join("");
  return said || delta?.refusal || "";
}
