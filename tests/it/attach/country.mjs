// A small country config as OpenCRVS's are made (hapi): its own handlers, its forms, and a page for everything else.
//
//   node country.mjs PORT [the bridge's URL: what is to be registered is forwarded there]
import Hapi from '@hapi/hapi'
import { forward } from './forward.mjs'

const [port, bridge] = process.argv.slice(2)
const handled = []
const server = Hapi.server({ host: '127.0.0.1', port })

// Where the country's number comes from: the tracking id is in both kinds of document.
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
const form = (id, field) => ({ id, declaration: { pages: [{ id: 'subject', type: 'FORM', fields: [text(field)] }] } })
server.route([
  { method: 'POST', path: '/event-registration', options, handler: register },
  { method: 'POST', path: '/trigger/events/{event}/actions/REGISTER', options, handler: register },
  { method: 'GET', path: '/events', handler: () => [form('birth', 'child.nid'), form('death', 'deceased.nid')] },
  { method: 'GET', path: '/handled', handler: () => handled },
  { method: '*', path: '/{any*}', handler: (request) => ({ country: `${request.method} ${request.path}` }) },
])
await server.start()
