// Tries candidates one after the other in one process, each test in a context of its own.
// Arguments: the file with the job, the file for what came of it, the first candidate.
//
// Isolation. What a program touches is made inside of its context: globals, console, process, modules. What it can reach of ours are Node's
// own modules and what hangs on them. All of that is written down before it is handed out, and compared after every test: when anything
// differs, this process ends, and another goes on behind the candidate. So does the folder where a program may write.
'use strict';

const fs = require('node:fs');
const inspector = require('node:inspector');
const path = require('node:path');
const { types } = require('node:util');
const vm = require('node:vm');

const [, , jobFile, resultFile, from] = process.argv;
const job = JSON.parse(fs.readFileSync(jobFile, 'utf8'));
const root = process.cwd();
const toolFile = path.resolve(job.path);
const folder = path.dirname(toolFile);
const testFile = path.join(folder, 'fractal_test.js');
// Nobody can take these away from us.
const { existsSync, lstatSync, openSync, readdirSync, readFileSync, writeSync } = fs;
const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { ownKeys } = Reflect;
const { isBuiltin } = require('node:module');
const { exit } = process;
const resultDescriptor = openSync(resultFile, 'a');
const WRAPPER = ['exports', 'require', 'module', '__filename', '__dirname'];

// Modules that only compute: no file, no process, no code.
const PURE = new Set(['assert', 'assert/strict', 'buffer', 'events', 'os', 'path', 'path/posix', 'punycode', 'querystring', 'string_decoder',
  'url', 'util', 'util/types']);
// Modules that reach where nothing can be compared.
const REFUSED = new Set(['child_process', 'cluster', 'domain', 'inspector', 'inspector/promises', 'module', 'repl', 'trace_events', 'v8', 'vm',
  'wasi', 'worker_threads']);
// Entries of a folder that are compared; one that holds more always differs.
const ENTRIES = 2000;

// What was handed out, as it was before: objects, their keys, and what stands there.
class Guard {
  constructor() {
    this.seen = new Set();
    this.kept = [];
    for (const name of ownKeys(globalThis)) {
      const { value } = getOwnPropertyDescriptor(globalThis, name);
      // Everything that the language itself has: `process` and others are not for programs.
      if (typeof value === 'function' || name === 'Reflect' || name === 'JSON' || name === 'Math') this.keep(value, 2);
    }
    this.keep(getPrototypeOf([][Symbol.iterator]()), 1);
    this.keep(getPrototypeOf(async () => {}), 1);
    this.keep(getPrototypeOf(Int8Array), 2);
  }

  keep(object, depth) {
    if (object === null || (typeof object !== 'object' && typeof object !== 'function') || this.seen.has(object)) return;
    this.seen.add(object);
    const keys = ownKeys(object);
    const values = [];
    for (let at = 0; at < keys.length; at++) {
      let descriptor = getOwnPropertyDescriptor(object, keys[at]);
      if (descriptor.get && descriptor.configurable && depth > 0) {
        // Some become what they are when they are looked at first.
        try {
          void object[keys[at]];
        } catch {}
        descriptor = getOwnPropertyDescriptor(object, keys[at]);
      }
      values.push(descriptor.get ?? descriptor.value, descriptor.set);
      if (depth > 0) this.keep(descriptor.value, depth - 1);
    }
    this.kept.push([object, keys, values, getPrototypeOf(object)]);
    if (depth > 0) this.keep(getPrototypeOf(object), depth - 1);
  }

  isUntouched() {
    for (let at = 0; at < this.kept.length; at++) {
      const [object, keys, values, prototype] = this.kept[at];
      if (getPrototypeOf(object) !== prototype || ownKeys(object).length !== keys.length) return false;
      for (let key = 0; key < keys.length; key++) {
        const descriptor = getOwnPropertyDescriptor(object, keys[key]);
        if (!descriptor) return false;
        const value = descriptor.get ?? descriptor.value;
        const old = values[2 * key];
        if ((value !== old && (value === value || old === old)) || descriptor.set !== values[2 * key + 1]) return false;
      }
    }
    return true;
  }
}

// Names, sizes and times of everything that lies in the folder, but for our own files.
function listing() {
  const found = [];
  const waiting = [root];
  while (waiting.length > 0) {
    const where = waiting.pop();
    const entries = readdirSync(where, { withFileTypes: true });
    for (let at = 0; at < entries.length; at++) {
      const file = path.join(where, entries[at].name);
      if (file === path.resolve(resultFile)) continue;
      const { size, mtimeNs, ctimeNs, mode } = lstatSync(file, { bigint: true });
      found.push(`${file} ${size} ${mtimeNs} ${ctimeNs} ${mode}`);
      if (found.length > ENTRIES) return undefined;
      if (entries[at].isDirectory()) waiting.push(file);
    }
  }
  return found.sort().join('\n');
}

const guard = new Guard();
// The folder, once a program could write there.
let files;

function isUntouched() {
  return guard.isUntouched() && (files === undefined || (files !== null && listing() === files));
}

// One of Node's own modules, written down before anybody has it.
function builtin(name) {
  const plain = name.replace(/^node:/, '');
  if (REFUSED.has(plain)) return { refused: `the module '${name}' is not there in a trial` };
  if (!PURE.has(plain)) files ??= listing() ?? null;
  const module = require(name);
  guard.keep(module, 3);
  return { module };
}

function wrap(code) {
  return `(function (${WRAPPER.join(', ')}) { ${code.replace(/^#!.*/, '')}\n})`;
}

// Compiled once for all contexts.
const testScripts = job.tests.map((code) => new vm.Script(wrap(code), { filename: testFile }));
const supportScripts = new Map();

function scriptOf(file) {
  if (!supportScripts.has(file)) {
    supportScripts.set(file, new vm.Script(wrap(readFileSync(file, 'utf8')), { filename: file }));
  }
  return supportScripts.get(file);
}

// Makes everything that a program touches, inside of its context. `host` is what it needs of ours and never shows.
const BOOT = new vm.Script(`(function (host, names, facts) {
  'use strict';
  const { parse } = JSON;
  const { Error, Promise } = globalThis;
  const { resolve } = Promise;
  const later = (call) => { resolve.call(Promise).then(() => call()); };
  const nothing = () => {};
  const console = {};
  for (const name of names) console[name] = () => {};
  const stream = () => ({ write: () => true, on() {}, once() {}, end() {}, isTTY: false });
  const process = {
    ...facts, argv: [...facts.argv], versions: { ...facts.versions }, env: {}, exitCode: undefined, stdout: stream(), stderr: stream(),
    cwd: () => facts.folder,
    exit(code) {
      host.end(code ?? process.exitCode ?? 0);
      throw new Error('the program has ended');
    },
    on() {}, once() {}, off() {}, emitWarning() {}, uptime: () => 0,
    hrtime: Object.assign(() => [0, 0], { bigint: () => 0n }),
    memoryUsage: () => ({ heapUsed: 0 }),
    nextTick: (call, ...rest) => later(() => call(...rest)),
  };
  const timer = () => ({ ref() {}, unref() {}, hasRef: () => true, refresh() {} });
  Object.assign(globalThis, {
    global: globalThis, console, process, queueMicrotask: (call) => later(call),
    setTimeout: timer, setInterval: timer, setImmediate: timer, clearTimeout: nothing, clearInterval: nothing, clearImmediate: nothing,
  });
  const modules = new Map();
  const make = (file) => ({ exports: {}, filename: file, id: file, loaded: false, children: [], paths: [] });
  const requireFrom = (file) => {
    const require = (name) => {
      const { code, text, module, refused } = host.find(file, name + '');
      if (refused) throw Object.assign(new Error(refused), { code: 'MODULE_NOT_FOUND' });
      if (module) return module;
      if (name === 'process' || name === 'node:process') return process;
      if (text !== undefined) return parse(text);
      return load(code.file, code.folder);
    };
    require.main = main;
    return require;
  };
  const load = (file, folder) => {
    if (modules.has(file)) return modules.get(file).exports;
    const module = make(file);
    modules.set(file, module);
    host.start(file).call(module.exports, module.exports, requireFrom(file), module, file, folder);
    module.loaded = true;
    return module.exports;
  };
  const main = make(facts.main);
  return {
    process,
    run: () => {
      try {
        host.start(facts.main).call(main.exports, main.exports, requireFrom(facts.main), main, facts.main, facts.folder);
      } catch (error) {
        // Whoever throws further makes Node look at the error, and run what is in it.
        host.thrown(error);
      }
    },
  };
})`);
const NAMES = Object.keys(console);
const { platform, version, versions, execPath } = process;
const FACTS = { platform, version, versions, execPath, argv: [execPath, testFile], pid: 1, arch: process.arch, folder, main: testFile };
const SHARED = { Buffer, URL, URLSearchParams, TextEncoder, TextDecoder, structuredClone };
for (const name of Object.keys(SHARED)) guard.keep(SHARED[name], 2);

// A rejection that nobody handles ends a program.
const rejected = [];
process.on('unhandledRejection', (reason) => rejected.push(reason));
const settled = () => new Promise((resolve) => setImmediate(resolve));

// A world of its own for one test of one candidate.
class World {
  constructor(toolScript) {
    this.toolScript = toolScript;
    this.ended = undefined;
    this.context = vm.createContext({ ...SHARED }, { microtaskMode: 'afterEvaluate' });
  }

  find(base, name) {
    if (name === 'process' || name === 'node:process') return {};
    if (!name.startsWith('.') && !path.isAbsolute(name)) {
      return isBuiltin(name) ? builtin(name) : { refused: `Cannot find module '${name}'` };
    }
    const wanted = path.resolve(path.dirname(base), name);
    const file = [wanted, `${wanted}.js`, `${wanted}.cjs`, `${wanted}.json`, path.join(wanted, 'index.js')].find(
      (file) => file === toolFile || (existsSync(file) && lstatSync(file).isFile()),
    );
    if (!file) return { refused: `Cannot find module '${name}'` };
    if (file.endsWith('.json')) return { text: readFileSync(file, 'utf8') };
    return { code: { file, folder: path.dirname(file) } };
  }

  // Runs a test; its time counts everything that it calls.
  async run(test) {
    rejected.length = 0;
    const start = (file) =>
      (file === testFile ? testScripts[test] : file === toolFile ? this.toolScript : scriptOf(file)).runInContext(this.context);
    let said;
    const thrown = (error) => {
      said = told(error);
    };
    const host = { find: (base, name) => this.find(base, name), end: (code) => (this.ended ??= code), start, thrown };
    const made = BOOT.runInContext(this.context)(host, NAMES, FACTS);
    // Called from inside, so that the time and what is put off count as its own.
    this.context.fractalStart = made.run;
    try {
      vm.runInContext('{ const start = fractalStart; delete globalThis.fractalStart; start(); }', this.context, { timeout: job.limit });
    } catch (error) {
      if (isLate(error)) return { outcome: 'late' };
      said ??= told(error);
    }
    if (this.ended === undefined && said !== undefined) return { outcome: 'failed', code: 1, said };
    await settled();
    if (this.ended === undefined && rejected.length > 0) return { outcome: 'failed', code: 1, said: told(rejected[0]) };
    const code = this.ended ?? getOwnPropertyDescriptor(made.process, 'exitCode')?.value ?? 0;
    return { outcome: code === 0 || code === '0' ? 'passed' : 'failed', code: Number(code) || 1, said: '' };
  }
}

// Without running anything of a program: not even a getter.
function isLate(error) {
  return !types.isProxy(error) && types.isNativeError(error) && getOwnPropertyDescriptor(error, 'code')?.value === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}

function told(error) {
  if (types.isProxy(error) || !types.isNativeError(error)) return typeof error === 'string' ? error : '';
  const stack = getOwnPropertyDescriptor(error, 'stack')?.value;
  return typeof stack === 'string' ? stack : '';
}

function compiled(source) {
  return new vm.Script(wrap(source), { filename: toolFile });
}

function say(text) {
  writeSync(resultDescriptor, text);
}

// Says how the candidate did, and ends the process when it left something behind.
async function judge(at) {
  let tool;
  try {
    tool = compiled(job.candidates[at]);
  } catch {
    return say(`${at} failed 0\n`);
  }
  for (let place = 0; place < job.order.length; place++) {
    const { outcome } = await new World(tool).run(job.order[place]);
    const untouched = isUntouched();
    if (outcome !== 'passed') {
      say(`${at} ${outcome} ${place}\n`);
    } else if (place + 1 === job.order.length) {
      say(`${at} passed\n`);
    } else if (!untouched) {
      // The other tests would meet what it left.
      say(`doubt ${at}\n${at} passed\n`);
    }
    if (!untouched) exit.call(process, 0);
    if (outcome !== 'passed') return undefined;
  }
  return undefined;
}

// The lines that a test runs: those whose first character lies in a range that ran. Inner ranges come after outer ones.
function linesOf(source, functions) {
  const shift = wrap('').indexOf('{ ') + 2;
  const lines = [];
  let offset = 0;
  for (const [number, line] of source.split('\n').entries()) {
    const start = offset + line.search(/\S|$/) + shift;
    let count = 0;
    for (const { ranges } of functions) {
      for (const range of ranges) {
        if (range.startOffset <= start && start < range.endOffset) count = range.count;
      }
    }
    if (count > 0 && line.trim() !== '') lines.push(number + 1);
    offset += line.length + 1;
  }
  return lines;
}

async function timed(source, test) {
  const world = new World(compiled(source));
  const begun = process.hrtime.bigint();
  const run = await world.run(test);
  return { ...run, milliseconds: Number(process.hrtime.bigint() - begun) / 1e6 };
}

async function cover() {
  const source = job.candidates[0];
  const session = new inspector.Session();
  session.connect();
  const ask = (method, parameters) => {
    let answer;
    session.post(method, parameters, (error, result) => {
      answer = error ? undefined : result;
    });
    return answer;
  };
  ask('Profiler.enable');
  ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  for (const [place, test] of job.order.entries()) {
    if (place < Number(from)) continue;
    ask('Profiler.takePreciseCoverage');
    const first = await timed(source, test);
    const scripts = ask('Profiler.takePreciseCoverage')?.result ?? [];
    const functions = scripts.filter(({ url }) => url === toolFile || url === `file://${toolFile}`).flatMap((script) => script.functions);
    // The first of all tests also waits for what is done only once.
    const again = first.outcome === 'late' ? first : await timed(source, test);
    const milliseconds = Math.min(first.milliseconds, again.milliseconds);
    say(`${JSON.stringify({ place, code: 0, said: '', ...first, milliseconds, lines: linesOf(source, functions) })}\n`);
  }
}

async function triage() {
  for (let at = Number(from); at < job.candidates.length; at++) await judge(at);
}

(job.cover ? cover() : triage()).then(() => exit.call(process, 0));
