// Forwards a registration to NID Bridge and returns the bridge's answer. Node 18 or newer, no dependencies.
//
// Call it in the handlers of POST /event-registration (FHIR records) and POST /trigger/events/{event}/actions/REGISTER
// (events), after your own work. `body` is the unparsed request body, because it may have to be sent again. `number` is
// your own registration number, if you give one (the front then needs NUMBER_HEADER=on, or NUMBER_HEADER_SECRET; `secret`
// is that secret).
//
// Returns a stream with `statusCode` and `headers`, which hapi's h.response() takes as it is.
import http from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** Headers of a single connection. */
const HOPS = ['connection', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']
/** Headers that are computed here, or that the caller must not set. */
const OURS = ['content-length', 'x-registration-number', 'x-registration-number-secret']
/** Pauses before each retry, in ms. The bridge recognises a registration that comes twice. */
const PAUSES = [500, 2000, 5000, 10_000]
/** In ms. Longer than the front waits for the broker (FRONT_HOLD) and writes to its spool. */
const PATIENCE = 30_000

export async function forward({ to, path, headers, body, number, secret }) {
  const url = new URL(path, to)
  // With events, any other answer leaves the record requested for ever.
  const events = path.startsWith('/trigger/')
  const understood = (status) => !events || [200, 202, 400].includes(status)
  const onward = Object.fromEntries(Object.entries(headers).filter(([name]) => ![...HOPS, ...OURS].includes(name)))
  if (number) onward['x-registration-number'] = number
  if (number && secret) onward['x-registration-number-secret'] = secret
  for (let attempt = 0; attempt <= PAUSES.length; attempt++) {
    if (attempt > 0) await sleep(PAUSES[attempt - 1])
    try {
      const answer = await post(url, onward, body)
      if (understood(answer.statusCode)) return answer
      answer.resume()
      console.warn(`NID Bridge (${url}) answered HTTP ${answer.statusCode}`)
    } catch (error) {
      console.warn(`NID Bridge (${url}): ${error.message}`)
    }
  }
  // Either makes OpenCRVS reject the record; the registrar may submit it again.
  const message = 'NID Bridge does not answer: register again'
  const status = events ? { statusCode: 400, error: 'Bad Request' } : { statusCode: 503, error: 'Service Unavailable' }
  const refusal = Readable.from([JSON.stringify({ ...status, message, msg: message })], { objectMode: false })
  return Object.assign(refusal, { statusCode: status.statusCode, headers: { 'content-type': 'application/json' } })
}

function post(url, headers, body) {
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === 'https:' ? https : http
    const call = request(url, { method: 'POST', headers, agent: false, timeout: PATIENCE })
    call.on('timeout', () => call.destroy(new Error(`no answer within ${PATIENCE} ms`)))
    call.on('error', reject)
    call.on('response', (answer) => {
      for (const name of HOPS) delete answer.headers[name]
      resolve(answer)
    })
    call.end(body)
  })
}
