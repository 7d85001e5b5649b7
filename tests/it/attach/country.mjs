// A small country config, built with hapi like those of OpenCRVS: handlers of its own, forms, and a
// page for everything else.
//
// node country.mjs PORT [URL of the bridge, to which registrations are forwarded]
import Hapi from '@hapi/hapi'
import { forward } from './forward.mjs'

const [port, bridge] = process.argv.slice(2)
const handled = []
const server = Hapi.server({ host: '127.0.0.1', port })

// The country's number is made from the tracking id, which both kinds of document contain.
function trackingId(body) {
  const document = JSON.parse(body)
  const resources = (document.entry ?? []).map((entry) => entry.resource)
  return document.trackingId ?? resources.find((one) => one.resourceType === 'Composition').identifier.value
}

async function register(request, h) {
  const { path, headers, payload } = request
  handled.push(path)
  if (!bridge) return h.response().code(200)
  const number = `OWN${trackingId(payload)}`
  return h.response(await forward({ to: bridge, path, headers, body: payload, number }))
}

const options = { payload: { parse: false, output: 'data', maxBytes: 52428800 } }
const text = (id) => ({ id, type: 'TEXT' })
const form = (id, ...fields) => ({ id, declaration: { pages: [{ id: 'subject', type: 'FORM', fields: fields.map(text) }] } })
const forms = [
  form('birth', 'child.name', 'child.dob', 'child.gender', 'child.nid', 'mother.nid', 'father.nid'),
  form('death', 'deceased.nid', 'eventDetails.date'),
]
server.route([
  { method: 'POST', path: '/event-registration', options, handler: register },
  { method: 'POST', path: '/trigger/events/{event}/actions/REGISTER', options, handler: register },
  { method: 'GET', path: '/events', handler: () => forms },
  { method: 'GET', path: '/handled', handler: () => handled },
  { method: '*', path: '/{any*}', handler: (request) => ({ country: `${request.method} ${request.path}` }) },
])
await server.start()
