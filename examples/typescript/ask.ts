// OpenAI's client for TypeScript, unchanged: only the address and the key are noria's.
//
//   npm install
//   NORIA_URL=http://127.0.0.1:8600 NORIA_KEY=... npm run ask -- "What is a noria?"
//
// NORIA_MODEL is a model or an application; by default the small model of this machine.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.NORIA_URL ?? "http://127.0.0.1:8600"}/v1`,
  apiKey: process.env.NORIA_KEY,
  maxRetries: 0,
});
const model = process.env.NORIA_MODEL ?? "local:smollm2";
const question = process.argv[2] ?? "What is a noria?";

// Piece by piece, as it comes.
const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: question }],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
  if (chunk.usage) {
    process.stdout.write(`\n(${chunk.usage.total_tokens} tokens)\n`);
  }
}

// Whole, with the id under which noria has recorded it.
const { data, response } = await client.chat.completions
  .create({ model, messages: [{ role: "user", content: question }] })
  .withResponse();
console.log(data.choices[0]?.message.content);
console.log(`noria trace show ${response.headers.get("x-noria-trace")}`);

// A refusal is the client's own kind of error.
try {
  await client.chat.completions.create({ model: "no:such", messages: [{ role: "user", content: "Hi" }] });
} catch (refusal) {
  if (!(refusal instanceof OpenAI.NotFoundError)) throw refusal;
  console.log(`${refusal.status} ${refusal.code}`);
}
