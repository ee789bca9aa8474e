// Drives a Chromium for the tests, which are in Go: a line of JSON comes in, {do, tab, …}, and one
// goes out, {value} or {error}. It ends when nothing comes any more.
//
// What is asked in a page is asked by the inspector: the page's own policy forbids to evaluate text
// there, and it is not to be weaker for the test.
'use strict'
const readline = require('node:readline')
const { chromium } = require('playwright-core')

let browser
const tabs = new Map()

// open opens a page of a person of its own, or of the one who has another page. What it does that it should not, and what the browser has
// to say against it, is noted until heard asks.
async function open (q) {
  const beside = q.beside ? tabs.get(q.beside) : null
  const context = beside ? beside.context : await browser.newContext({
    viewport: { width: q.width, height: q.height }, deviceScaleFactor: 1, hasTouch: q.width < 500, isMobile: q.width < 500,
    colorScheme: q.scheme, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC', serviceWorkers: 'block'
  })
  const tab = { context, beside, ran: [], errors: [] }
  if (!beside) await context.exposeBinding('canary', (_, what) => { tab.ran.push(String(what)) })
  for (const path of q.scripts || []) await context.addInitScript({ path })
  const page = tab.page = await context.newPage()
  page.setDefaultTimeout(q.patience)
  page.on('console', m => {
    if (m.type() === 'error' || m.type() === 'warning') tab.errors.push(`${m.type()}: ${m.text()} ${m.location().url}`)
  })
  page.on('pageerror', e => tab.errors.push(`exception: ${e.message}`))
  page.on('dialog', d => { tab.ran.push(`a dialog: ${d.message()}`); d.dismiss() })
  page.on('popup', p => tab.ran.push(`a window: ${p.url()}`))
  page.on('download', d => tab.ran.push(`a download: ${d.url()}`))
  page.on('request', r => {
    const to = new URL(r.url())
    if (!['127.0.0.1', 'localhost', 'rebound.test'].includes(to.hostname) && to.protocol !== 'data:') tab.ran.push(`a request: ${to}`)
  })
  tab.inspector = await context.newCDPSession(page)
  tabs.set(q.tab, tab)
}

// inPage evaluates an expression in a page.
async function inPage (t, expression) {
  const { result, exceptionDetails: x } = await t.inspector.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
  if (x) throw new Error(`${x.text} ${x.exception ? x.exception.description : ''}`)
  return result.value
}

const does = {
  goto: async (t, q) => {
    const answer = await t.page.goto(q.url)
    return answer ? answer.status() : 0
  },
  count: (t, q) => t.page.locator(q.at).count(),
  texts: (t, q) => t.page.locator(q.at).allTextContents(),
  // All at one moment: asked one by one, what changes places meanwhile is there twice, and another not.
  attributes: (t, q) => inPage(t, `[...document.querySelectorAll(${JSON.stringify(q.at)})].map(e => e.getAttribute(${JSON.stringify(q.name)}))`),
  wait: (t, q) => t.page.locator(q.at, q.text ? { hasText: q.text } : {}).first().waitFor({ state: q.state || 'visible' }),
  click: (t, q) => t.page.locator(q.at).first().click(),
  fill: (t, q) => t.page.locator(q.at).first().fill(q.text),
  press: (t, q) => t.page.keyboard.press(q.text),
  picture: async (t, q) => (await t.page.screenshot({ path: q.path, animations: 'disabled', caret: 'hide' })).length,
  ask: (t, q) => inPage(t, q.text),
  heard: async t => {
    const { ran, errors } = t
    t.ran = []
    t.errors = []
    return { ran, errors }
  },
  close: async (t, q) => {
    await (t.beside ? t.page : t.context).close()
    tabs.delete(q.tab)
  }
}

async function answer (q) {
  if (q.do === 'open') return open(q)
  const tab = tabs.get(q.tab)
  if (!tab) throw new Error(`no tab ${q.tab}`)
  return does[q.do](tab, q)
}

async function main () {
  browser = await chromium.launch({
    executablePath: process.env.COLTEC_CHROMIUM,
    chromiumSandbox: false, // who runs the tests may be root, for whom it has none
    args: ['--force-color-profile=srgb', '--hide-scrollbars', '--disable-lcd-text', '--host-resolver-rules=MAP rebound.test 127.0.0.1']
  })
  console.log(JSON.stringify({ value: browser.version() }))
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let said
    try {
      said = { value: (await answer(JSON.parse(line))) ?? null }
    } catch (e) {
      said = { error: String(e.message || e) }
    }
    console.log(JSON.stringify(said))
  }
  await browser.close()
}

main().catch(e => {
  console.error(e)
  process.exit(1)
})
