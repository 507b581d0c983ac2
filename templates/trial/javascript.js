// Tries candidates one after the other in one process, each in a context of its own.
// Arguments: the file with the job, the file for what came of it, the first candidate.
'use strict';

const fs = require('node:fs');
const inspector = require('node:inspector');
const path = require('node:path');
const vm = require('node:vm');

const [, , jobFile, resultFile, from] = process.argv;
const job = JSON.parse(fs.readFileSync(jobFile, 'utf8'));
const toolFile = path.resolve(job.path);
const folder = path.dirname(toolFile);
const testFile = path.join(folder, 'fractal_test.js');
const append = fs.appendFileSync;
const WRAPPER = ['exports', 'require', 'module', '__filename', '__dirname'];

class Ended extends Error {
  constructor(code) {
    super(`the program ended with ${code}`);
    this.code = code;
  }
}

// What a program may see of its process: it cannot end ours, or write where we write.
function fakeProcess() {
  const silent = { write: () => true, on() {}, once() {}, end() {}, isTTY: false };
  return {
    argv: [process.execPath, testFile],
    env: {},
    platform: process.platform,
    version: process.version,
    versions: { ...process.versions },
    pid: 1,
    exitCode: undefined,
    stdout: silent,
    stderr: silent,
    cwd: () => folder,
    exit(code) {
      throw new Ended(code ?? this.exitCode ?? 0);
    },
    on() {},
    once() {},
    emitWarning() {},
    hrtime: process.hrtime,
    memoryUsage: () => ({ heapUsed: 0 }),
    nextTick: (call, ...rest) => queueMicrotask(() => call(...rest)),
    uptime: () => 0,
  };
}

// Compiled once for all contexts.
const testScripts = job.tests.map((code) => new vm.Script(wrap(code), { filename: testFile }));
const supportScripts = new Map();

function wrap(code) {
  return `(function (${WRAPPER.join(', ')}) { ${code.replace(/^#!.*/, '')}\n})`;
}

function scriptOf(file) {
  if (!supportScripts.has(file)) {
    supportScripts.set(file, new vm.Script(wrap(fs.readFileSync(file, 'utf8')), { filename: file }));
  }
  return supportScripts.get(file);
}

// A world of its own for one candidate: globals, modules, and the time that is left.
class World {
  constructor(toolScript) {
    const quiet = Object.fromEntries(Object.keys(console).map((name) => [name, () => {}]));
    this.modules = new Map();
    this.toolScript = toolScript;
    this.context = vm.createContext(
      { console: quiet, process: fakeProcess(), Buffer, URL, URLSearchParams, TextEncoder, TextDecoder, structuredClone, queueMicrotask,
        setTimeout: () => ({ unref() {} }), clearTimeout() {}, setInterval: () => ({ unref() {} }), clearInterval() {}, setImmediate: () => ({}) },
      { microtaskMode: 'afterEvaluate' },
    );
    vm.runInContext('globalThis.global = globalThis', this.context);
  }

  require(base) {
    return (name) => {
      if (!name.startsWith('.') && !path.isAbsolute(name)) return require(name);
      const wanted = path.resolve(path.dirname(base), name);
      const file = [wanted, `${wanted}.js`, `${wanted}.json`].find((file) => file === toolFile || fs.existsSync(file));
      if (!file) throw new Error(`Cannot find module '${name}'`);
      if (file.endsWith('.json')) return JSON.parse(fs.readFileSync(file, 'utf8'));
      return this.load(file);
    };
  }

  load(file) {
    if (this.modules.has(file)) return this.modules.get(file).exports;
    const module = { exports: {}, filename: file, children: [], paths: [] };
    this.modules.set(file, module);
    const script = file === toolFile ? this.toolScript : scriptOf(file);
    script.runInContext(this.context).call(module.exports, module.exports, this.requireWithMain(file), module, file, path.dirname(file));
    return module.exports;
  }

  requireWithMain(file) {
    return Object.assign(this.require(file), { main: { filename: testFile } });
  }

  // Runs a test; its time counts everything that it calls.
  run(test) {
    const module = { exports: {}, filename: testFile, children: [], paths: [] };
    const start = testScripts[test].runInContext(this.context);
    this.context.fractalStart = () => start.call(module.exports, module.exports, this.requireWithMain(testFile), module, testFile, folder);
    try {
      vm.runInContext('fractalStart()', this.context, { timeout: job.limit });
      const { exitCode } = this.context.process;
      return exitCode === undefined || exitCode === 0 ? 'passed' : 'failed';
    } catch (error) {
      if (error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return 'late';
      return error instanceof Ended && error.code === 0 ? 'passed' : 'failed';
    }
  }
}

function compiled(source) {
  return new vm.Script(wrap(source), { filename: toolFile });
}

function verdict(source) {
  let tool;
  try {
    tool = compiled(source);
  } catch {
    return 'failed 0';
  }
  for (const [place, test] of job.order.entries()) {
    const outcome = new World(tool).run(test);
    if (outcome !== 'passed') return `${outcome} ${place}`;
  }
  return 'passed';
}

function triage() {
  for (let at = Number(from); at < job.candidates.length; at++) {
    append(resultFile, `${at} ${verdict(job.candidates[at])}\n`);
  }
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

function cover() {
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
  const answers = job.order.map((test) => {
    ask('Profiler.takePreciseCoverage');
    const world = new World(compiled(source));
    const begun = process.hrtime.bigint();
    const outcome = world.run(test);
    const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
    const scripts = ask('Profiler.takePreciseCoverage')?.result ?? [];
    const functions = scripts.filter(({ url }) => url === toolFile || url === `file://${toolFile}`).flatMap((script) => script.functions);
    return { outcome, milliseconds, lines: linesOf(source, functions) };
  });
  append(resultFile, JSON.stringify(answers));
}

if (job.cover) cover();
else triage();
