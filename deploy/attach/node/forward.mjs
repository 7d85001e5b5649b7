// Gives a registration to NID Bridge, and the bridge's answer back to OpenCRVS. Node 18 or newer, no dependencies.
//
// For the handler of POST /event-registration (FHIR records) and of POST /trigger/events/{event}/actions/REGISTER (events
// generation), after whatever the country does there itself. The body is the one that came, unparsed: it may have to be
// sent again. `number` is the country's own registration number, if it gives one.
//
// What comes back is a stream with `statusCode` and `headers`: hapi's h.response() takes it as it is.
import http from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** What belongs to one connection. */
const HOPS = ['connection', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']
/** What is written anew, or is not for the caller to say. */
const OURS = ['content-length', 'x-registration-number']
/** Before each further try, in ms. A registration that comes twice is one, so asking again does no harm. */
const PAUSES = [500, 2000, 5000, 10_000]
/** Longer than the bridge holds a registration (FRONT_HOLD) and takes to write it to its spool. */
const PATIENCE = 30_000

export async function forward({ to, path, headers, body, number }) {
  const url = new URL(path, to)
  // Core of the events generation leaves a record requested for ever after anything but these.
  const events = path.startsWith('/trigger/')
  const understood = (status) => !events || [200, 202, 400].includes(status)
  const onward = Object.fromEntries(Object.entries(headers).filter(([name]) => ![...HOPS, ...OURS].includes(name)))
  if (number) onward['x-registration-number'] = number
  for (let turn = 0; turn <= PAUSES.length; turn++) {
    if (turn > 0) await sleep(PAUSES[turn - 1])
    try {
      const answer = await post(url, onward, body)
      if (understood(answer.statusCode)) return answer
      answer.resume()
      console.warn(`nidbridge: HTTP ${answer.statusCode}`)
    } catch (error) {
      console.warn(`nidbridge: ${error.message}`)
    }
  }
  // Both make core reject the record, and the registrar may register it again.
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
