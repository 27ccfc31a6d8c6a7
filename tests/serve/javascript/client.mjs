// OpenAI's own JavaScript client against a running server: `node client.mjs CASE` prints what it got as one line of JSON.
// METIER_URL and METIER_KEY name the server, METIER_OPTIONS (JSON) carries what a case needs from the test.
import OpenAI from 'openai';

const URL_OF_SERVER = `${process.env.METIER_URL}/v1`;
const options = JSON.parse(process.env.METIER_OPTIONS || '{}');
const messages = [{ role: 'user', content: 'Describe the blue mug.' }];

const connect = (more = {}) =>
  new OpenAI({ baseURL: URL_OF_SERVER, apiKey: process.env.METIER_KEY, maxRetries: 0, timeout: 60_000, ...more });
const client = connect();

/** The chunks of a stream, and their text by choice. */
async function collect(stream, textOf) {
  const chunks = [], texts = {};
  for await (const chunk of stream) {
    chunks.push(chunk);
    for (const choice of chunk.choices) texts[choice.index] = (texts[choice.index] ?? '') + (textOf(choice) ?? '');
  }
  return { chunks, texts };
}

/** A request that must fail: which of the client's error classes, and its fields. */
async function failure(work) {
  try {
    await work();
  } catch (error) {
    const { status, code, param, type, message, requestID } = error;
    return { class: error.constructor.name, status, code, param, type, message, requestID };
  }
  throw new Error('the request was answered');
}

/** A fetch that notes the headers of every request. */
function noting(seen) {
  return async (url, init) => {
    seen.push(Object.fromEntries(new Headers(init.headers)));
    return fetch(url, init);
  };
}

const chat = (more = {}, settings = undefined) =>
  client.chat.completions.create({ model: 'plain', messages, max_tokens: 12, ...more }, settings);

const cases = {
  async models() {
    const found = [];
    for await (const model of client.models.list()) found.push(model);
    return { found, one: await client.models.retrieve('plain') };
  },
  async chat() {
    return chat({ ...options });
  },
  async chatStream() {
    const stream = await chat({ stream: true, ...options });
    return collect(stream, (choice) => choice.delta.content);
  },
  async chatStreamHelper() {
    const stream = client.chat.completions.stream({ model: 'plain', messages, max_tokens: 12, ...options });
    const content = [];
    stream.on('content', (delta) => content.push(delta));
    const final = await stream.finalChatCompletion();
    return { content: content.join(''), final };
  },
  async parse() {
    return client.chat.completions.parse({ model: 'plain', messages, max_tokens: 40, ...options });
  },
  async completions() {
    return client.completions.create({ model: 'plain', prompt: ['The mug', 'A lamp'], max_tokens: 6, logprobs: 2 });
  },
  async completionsStream() {
    const body = { model: 'plain', prompt: ['The mug', 'A lamp'], max_tokens: 6, stream: true };
    return collect(await client.completions.create(body), (choice) => choice.text);
  },
  async responses() {
    const body = { model: 'plain', input: 'Describe the blue mug.', max_output_tokens: 12, ...options };
    const whole = await client.responses.create(body);
    const events = [];
    for await (const event of await client.responses.create({ ...body, stream: true })) events.push(event);
    return { whole, events };
  },
  async responsesHelper() {
    const body = { model: 'plain', input: 'Describe the blue mug.', max_output_tokens: 12 };
    const deltas = [];
    const stream = client.responses.stream(body).on('response.output_text.delta', (event) => deltas.push(event.delta));
    const final = await stream.finalResponse();
    return { text: deltas.join(''), final };
  },
  async embeddings() {
    const input = ['he ordered the apple', 'she lost the saw'];
    return {
      packed: await client.embeddings.create({ model: 'sort', input }), // the client requests base64 and decodes it
      listed: await client.embeddings.create({ model: 'sort', input, encoding_format: 'float' }),
    };
  },
  async errors() {
    const stranger = connect({ apiKey: 'wrong' });
    return {
      401: await failure(() => stranger.models.list()),
      404: await failure(() => chat({ model: 'plian' })),
      '404 in a stream': await failure(() => chat({ model: 'plian', stream: true })),
      400: await failure(() => chat({ frequency_penalty: 0.5 })),
      429: await failure(() => chat({ n: 16, temperature: 1, max_tokens: 40 })),
      413: await failure(() => chat({ messages: [{ role: 'user', content: 'x'.repeat(200_000) }] })),
      403: await failure(() => client.post('/load_lora_adapter', { body: { lora_name: 'x', lora_path: 'plain' } })),
    };
  },
  async retries() {
    const seen = [];
    const patient = connect({ maxRetries: 1, fetch: noting(seen) });
    const begun = performance.now();
    const body = { model: 'plain', messages, n: 16, temperature: 1, max_tokens: 40 };
    const error = await failure(() => patient.chat.completions.create(body));
    return { error, milliseconds: performance.now() - begun, counts: seen.map((h) => h['x-stainless-retry-count']) };
  },
  async abort() {
    const controller = new AbortController();
    const stream = await chat({ stream: true, max_tokens: 400, temperature: 1 }, { signal: controller.signal });
    for await (const _ of stream) break; // leaving the loop aborts the request
    const whole = chat({ max_tokens: 400, temperature: 1 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 150);
    return { error: await failure(() => whole) };
  },
  async headers() {
    const seen = [];
    const noted = connect({ fetch: noting(seen), organization: 'shop', project: 'mugs' });
    const body = { model: 'plain', messages, max_tokens: 4 };
    await noted.models.list();
    await noted.chat.completions.create(body);
    await noted.chat.completions.stream(body).finalChatCompletion();
    await noted.responses.stream({ model: 'plain', input: 'Hello.', max_output_tokens: 4 }).finalResponse();
    await noted.chat.completions.runTools({ ...body, tools: [] }).done().catch(() => null);
    return [...new Set(seen.flatMap((headers) => Object.keys(headers)))].sort();
  },
  async concurrent() {
    const wanted = options.models;
    const answers = await Promise.all(
      wanted.map((model, at) =>
        at % 2
          ? chat({ model }).then((reply) => reply.choices[0].message.content)
          : chat({ model, stream: true }).then(async (s) => (await collect(s, (c) => c.delta.content)).texts[0]),
      ),
    );
    return answers;
  },
};

console.log(JSON.stringify(await cases[process.argv[2]]()));
