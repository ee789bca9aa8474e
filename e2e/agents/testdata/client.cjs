// The client of the TypeScript SDK, which is in the folder that the first argument names, calls the tools
// of the server that the others start. It prints what it saw, as JSON.
const { createRequire } = require('node:module');
const [from, command, ...args] = process.argv.slice(2);
const of = createRequire(from + '/');
const { Client } = of('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = of('@modelcontextprotocol/sdk/client/stdio.js');
const { EmptyResultSchema } = of('@modelcontextprotocol/sdk/types.js');

const calls = [
  ['status', {}], ['sync', {}], ['checkpoint', { name: 'before' }], ['checkpoints', {}], ['history', {}], ['conflicts', {}], ['logs', {}],
  ['compare', { a: 'before' }], ['rewind', { at: 'before', dry_run: true }], ['join', { fork: 'acme/widget/no', dry_run: true }],
  ['take', { all: true, dry_run: true }], ['drop', { all: true, dry_run: true }], ['pause', { name: 'nothing' }], ['resume', { name: 'nothing' }],
  ['checkpoint', {}], ['checkpoint', { name: 5.5 }], ['checkpoint', { name: 'a', remove: true }], ['no_such_tool', {}],
];

async function main() {
  const transport = new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' });
  const client = new Client({ name: 'a client of others', version: '1' }, { capabilities: {} });
  const seen = { faults: [], calls: [] };
  client.onerror = (e) => seen.faults.push(String(e));
  await client.connect(transport);
  seen.server = client.getServerVersion().name;
  await client.ping();
  seen.tools = (await client.listTools()).tools.map((t) => t.name);
  const call = async (name, args, options) => {
    try {
      const r = await client.callTool({ name, arguments: args }, undefined, options);
      return { name, failed: Boolean(r.isError), text: r.content[0].text, structured: Boolean(r.structuredContent) };
    } catch (e) {
      return { name, thrown: String(e.code ?? e) };
    }
  };
  for (const [name, args] of calls) seen.calls.push(await call(name, args, { onprogress() {} }));
  // What comes while a client is at something else, it reads at one time.
  const read = call('sync', {}, { onprogress() {} });
  await new Promise(setImmediate);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
  seen.calls.push(await read);
  seen.together = await Promise.all(['status', 'history', 'checkpoints', 'conflicts'].map((name) => call(name, {})));
  const gone = new AbortController();
  const cancelled = call('compare', { a: 'before' }, { signal: gone.signal });
  gone.abort(new Error('not needed'));
  seen.cancelled = await cancelled;
  seen.late = await call('compare', { a: 'before' }, { timeout: 1 });
  seen.after = await call('checkpoints', {});
  seen.unknown = await client.request({ method: 'nothing/of/the/kind' }, EmptyResultSchema).then(() => 0, (e) => e.code);
  // The end of input comes in the middle of a call. How the server ends is waited for here: the SDK would
  // kill it after some seconds.
  const server = transport._process;
  const ended = new Promise((resolve) => server.once('exit', (code, signal) => resolve(`code ${code}, signal ${signal}`)));
  const under = call('compare', { a: 'before' });
  server.stdin.end();
  seen.ended = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 60000, 'not within a minute').unref())]);
  await client.close();
  await under;
  console.log(JSON.stringify(seen));
}

main().catch((e) => { console.error(e); process.exit(1); });
