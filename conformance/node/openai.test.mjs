// The Node SDK against the real binary. The Python suite goes deeper; this one shows that the other stock client reads
// the same answers.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import OpenAI from 'openai'

const URL = process.env.CONFORMANCE_URL
const KEY = process.env.CONFORMANCE_KEY
const NANO = 'fornax-nano'
const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0, timeout: 120_000 })
const messages = [{ role: 'user', content: 'Who is there?' }]
const ask = (options = {}) =>
  client.chat.completions.create({ model: NANO, messages, max_tokens: 12, temperature: 0, ...options })
const gather = async (stream) => {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}
const textOf = (chunks) =>
  chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? '').join('')
const hasEmbedder = (await client.models.list()).data.some((model) => model.id === 'minilm')
const embedding = { skip: hasEmbedder ? false : 'minilm is not in the store; `make models` fetches it' }
const raw = (path, options = {}) =>
  fetch(URL + path, { ...options, headers: { authorization: `Bearer ${KEY}`, ...options.headers } })

test('models list', async () => {
  const ids = []
  for await (const model of client.models.list()) ids.push(model.id)
  assert.ok(ids.includes(NANO))
})

test('models retrieve', async () => {
  assert.equal((await client.models.retrieve(NANO)).id, NANO)
})

test('an unknown model is a NotFoundError', async () => {
  await assert.rejects(client.models.retrieve('no-such-model'), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError)
    return error.code === 'model_not_found'
  })
})

test('a chat', async () => {
  const reply = await ask()
  assert.equal(reply.object, 'chat.completion')
  assert.equal(reply.choices[0].message.role, 'assistant')
  assert.equal(typeof reply.choices[0].message.content, 'string')
  assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
})

test('a stream adds up to the whole', async () => {
  const chunks = await gather(await ask({ stream: true, max_tokens: 20 }))
  assert.equal(chunks[0].choices[0].delta.role, 'assistant')
  assert.equal(textOf(chunks), (await ask({ max_tokens: 20 })).choices[0].message.content)
})

test('a stream with usage', async () => {
  const chunks = await gather(await ask({ stream: true, stream_options: { include_usage: true } }))
  const last = chunks.at(-1)
  assert.deepEqual(last.choices, [])
  assert.ok(last.usage.completion_tokens > 0)
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null))
})

test('the stream helper', async () => {
  const stream = client.chat.completions.stream({ model: NANO, messages, max_tokens: 8, temperature: 0 })
  let text = ''
  stream.on('content', (delta) => (text += delta))
  const final = await stream.finalChatCompletion()
  assert.equal(text, final.choices[0].message.content)
})

test('n choices', async () => {
  const reply = await ask({ n: 2, temperature: 1, seed: 3 })
  assert.deepEqual(reply.choices.map((choice) => choice.index), [0, 1])
})

test('a seed repeats itself', async () => {
  const [one, two] = [await ask({ temperature: 1, seed: 9 }), await ask({ temperature: 1, seed: 9 })]
  assert.equal(one.choices[0].message.content, two.choices[0].message.content)
})

test('max_completion_tokens', async () => {
  const reply = await client.chat.completions.create({ model: NANO, messages, max_completion_tokens: 3, ignore_eos: true })
  assert.equal(reply.usage.completion_tokens, 3)
  assert.equal(reply.choices[0].finish_reason, 'length')
})

test('logprobs', async () => {
  const reply = await ask({ logprobs: true, top_logprobs: 2, max_tokens: 3, ignore_eos: true })
  assert.equal(reply.choices[0].logprobs.content.length, 3)
  assert.equal(reply.choices[0].logprobs.content[0].top_logprobs.length, 2)
})

const tools = [
  {
    type: 'function',
    function: {
      name: 'set_light',
      parameters: {
        type: 'object',
        properties: { state: { type: 'string', enum: ['on', 'off'] } },
        required: ['state'],
        additionalProperties: false,
      },
      strict: true,
    },
  },
]

test('a forced tool call has valid arguments', async () => {
  const reply = await ask({ tools, tool_choice: 'required', parallel_tool_calls: false, max_tokens: 300 })
  const [call] = reply.choices[0].message.tool_calls
  assert.equal(call.function.name, 'set_light')
  assert.ok(['on', 'off'].includes(JSON.parse(call.function.arguments).state))
})

test('a streamed tool call adds up', async () => {
  const choice = { type: 'function', function: { name: 'set_light' } }
  const stream = client.chat.completions.stream({ model: NANO, messages, tools, tool_choice: choice, max_tokens: 300 })
  const final = await stream.finalChatCompletion()
  const [call] = final.choices[0].message.tool_calls
  assert.ok(['on', 'off'].includes(JSON.parse(call.function.arguments).state))
})

test('a JSON schema holds', async () => {
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  }
  const reply = await ask({
    max_tokens: 300,
    response_format: { type: 'json_schema', json_schema: { name: 'state', schema, strict: true } },
  })
  assert.equal(typeof JSON.parse(reply.choices[0].message.content).ok, 'boolean')
})

test('a raw completion', async () => {
  const reply = await client.completions.create({ model: NANO, prompt: 'To be', max_tokens: 4, temperature: 0 })
  assert.equal(reply.object, 'text_completion')
  assert.equal(typeof reply.choices[0].text, 'string')
})

test('raw completions of several prompts', async () => {
  const reply = await client.completions.create({ model: NANO, prompt: [[5, 6], [7]], max_tokens: 2 })
  assert.deepEqual(reply.choices.map((choice) => choice.index), [0, 1])
})

test('a raw completion streams', async () => {
  const options = { model: NANO, prompt: 'To be', max_tokens: 6, temperature: 0 }
  const chunks = await gather(await client.completions.create({ ...options, stream: true }))
  const text = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.text).join('')
  assert.equal(text, (await client.completions.create(options)).choices[0].text)
})

test('an embedding', embedding, async () => {
  const reply = await client.embeddings.create({ model: 'minilm', input: 'The sea is calm.' })
  assert.equal(reply.data[0].embedding.length, 384)
})

test('embeddings in floats', embedding, async () => {
  const reply = await client.embeddings.create({ model: 'minilm', input: ['a', 'b'], encoding_format: 'float' })
  assert.deepEqual(reply.data.map((item) => item.index), [0, 1])
  assert.equal(typeof reply.data[0].embedding[0], 'number')
})

test('a wrong key is an AuthenticationError', async () => {
  const stranger = new OpenAI({ baseURL: `${URL}/v1`, apiKey: 'fx-wrong', maxRetries: 0 })
  await assert.rejects(stranger.models.list(), (error) => error instanceof OpenAI.AuthenticationError)
})

test('a bad field is a BadRequestError with its name', async () => {
  await assert.rejects(ask({ temperature: 9 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError)
    return error.param === 'temperature'
  })
})

test('a prompt that does not fit says so', async () => {
  const long = [{ role: 'user', content: 'word '.repeat(20_000) }]
  await assert.rejects(ask({ messages: long }), (error) => error.code === 'context_length_exceeded')
})

test('an API that is not built is 501', async () => {
  await assert.rejects(client.images.generate({ model: NANO, prompt: 'x' }), (error) => error.status === 501)
})

test('a request has an id', async () => {
  const { response, request_id } = await client.models.list().withResponse()
  assert.ok(request_id)
  assert.equal(response.headers.get('x-request-id'), request_id)
})

test('aborting a stream frees the slot', async () => {
  const stream = await ask({ stream: true, max_tokens: 150, ignore_eos: true })
  for await (const chunk of stream) {
    assert.ok(chunk.id)
    stream.controller.abort()
    break
  }
  const busy = async () =>
    (await (await raw('/fornax/v1/runners')).json()).runners.reduce((sum, runner) => sum + runner.in_flight, 0)
  for (let attempt = 0; (await busy()) > 0; attempt++) {
    assert.ok(attempt < 250, 'the slot was not freed')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})
