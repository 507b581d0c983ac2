//! Tables of sources that reach something and of look-alikes that do not, a row each.

use super::*;

fn kinds(language: Language, source: &str) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = capabilities(language, source).into_iter().map(|capability| capability.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn reaches(language: Language, rows: &[(Kind, &str)]) {
    let missed: Vec<_> = rows.iter().filter(|(kind, source)| !kinds(language, source).contains(kind)).collect();
    assert!(missed.is_empty(), "not seen: {missed:#?}");
}

fn is_harmless(language: Language, rows: &[&str]) {
    let wrong: Vec<_> =
        rows.iter().map(|source| (source, capabilities(language, source))).filter(|(_, f)| !f.is_empty()).collect();
    assert!(wrong.is_empty(), "false alarms: {wrong:#?}");
}

#[test]
fn what_python_reaches_is_seen_under_any_name() {
    reaches(
        Language::Python,
        &[
            (Kind::Process, "import os\nos.system('x')\n"),
            (Kind::Process, "from os import system as s\ns('x')\n"),
            (Kind::Process, "import os as o\nrun = o.popen\nrun('x')\n"),
            (Kind::Process, "import subprocess as sp\n"),
            (Kind::Process, "import os\ngetattr(os, 'system')('x')\n"),
            (Kind::Process, "import os\ngetattr(os, 'sys' 'tem')('x')\n"),
            (Kind::Process, "import os\ngetattr(os, 'sys\\x74em')('x')\n"),
            (Kind::Process, "__import__('subprocess').run(['x'])\n"),
            (Kind::Process, "__import__('os').system('x')\n"),
            (Kind::Process, "import importlib\nm = importlib.import_module('subprocess')\nm.run(x)\n"),
            (Kind::Process, "import os\nos.__dict__['system']('x')\n"),
            (Kind::Process, "import os\nvars(os)['system']('x')\n"),
            (Kind::Process, "import sys\nsys.modules['os'].system('x')\n"),
            (Kind::Process, "from os import *\nsystem('x')\n"),
            (Kind::Process, "(lambda: __builtins__.__import__('os').system('x'))()\n"),
            (Kind::Evaluation, "import os\ngetattr(os, 'sys' + x)('x')\n"),
            (Kind::Evaluation, "eval(x)\n"),
            (Kind::Evaluation, "f = eval\n"),
            (Kind::Evaluation, "import builtins\nbuiltins.exec(x)\n"),
            (Kind::Evaluation, "globals()['eval'](x)\n"),
            (Kind::Evaluation, "import pickle\n"),
            (Kind::Evaluation, "().__class__.__base__.__subclasses__()\n"),
            (Kind::Evaluation, "import \u{ff4f}s\n\u{ff4f}s.system('x')\n"),
            (Kind::Network, "import urllib.request\n"),
            (Kind::Network, "from urllib import request as r\nr.urlopen(u)\n"),
            (Kind::Network, "import socket\n"),
            (Kind::Network, "import requests\n"),
            (Kind::Unverified, "r = get(u, verify=False)\n"),
            (Kind::Unverified, "s.verify = False\n"),
            (Kind::Unverified, "import ssl\nc = ssl._create_unverified_context()\n"),
            (Kind::FileWrite, "open(p, 'w').write(x)\n"),
            (Kind::FileWrite, "open(p, mode='ab')\n"),
            (Kind::FileWrite, "open(p, m)\n"),
            (Kind::FileWrite, "from pathlib import Path\nPath(p).write_text(x)\n"),
            (Kind::FileWrite, "p.open('w')\n"),
            (Kind::FileDeletion, "import shutil\nshutil.rmtree(p)\n"),
            (Kind::FileDeletion, "from pathlib import Path\np = Path(x)\np.unlink()\n"),
            (Kind::Environment, "import os\nif os.environ.get('CI'): pass\n"),
            (Kind::Environment, "from os import getenv as g\ng('HOME')\n"),
            (Kind::Environment, "import sys\nif sys.argv[0].endswith('x'): pass\n"),
            (Kind::Environment, "if 'x' in __file__: pass\n"),
            (Kind::Environment, "import sys\nif 'pytest' in sys.modules: pass\n"),
            (Kind::Environment, "import os\nif os.path.exists('/.dockerenv'): pass\n"),
            (Kind::Environment, "import socket\nsocket.gethostname()\n"),
            (Kind::Environment, "import platform\n"),
            (Kind::Clock, "import time\ntime.time()\n"),
            (Kind::Clock, "from datetime import datetime as d\nd.now()\n"),
            (Kind::Clock, "import datetime\ndatetime.datetime.now()\n"),
            (Kind::Random, "from random import choice\n"),
            (Kind::Native, "import ctypes\n"),
            (Kind::Exit, "import sys\nsys.exit(0)\n"),
            (Kind::Exit, "exit()\n"),
            (Kind::Exit, "raise SystemExit\n"),
            (Kind::Exit, "import os\nos._exit(3)\n"),
            (Kind::Import, "import left_pad\n"),
            (Kind::Import, "from . import other\n"),
        ],
    );
}

#[test]
fn what_only_looks_like_it_is_nothing_in_python() {
    is_harmless(
        Language::Python,
        &[
            "# import subprocess; os.system('x')\nx = 1\n",
            "\"\"\"Calls eval(x), os.system and socket.\"\"\"\n",
            "x = 'import socket; exec(y)'\n",
            "import math, re, json, collections\nfrom itertools import chain\nfrom functools import lru_cache\n",
            "import os\nprint(os.path.join(a, b), os.sep)\n",
            "import os\nif os.path.exists(path): pass\n",
            "import sys\nx = sys.argv[1]\nprint(x, file=sys.stderr)\nsys.exit(2)\n",
            "import sys\nsys.exit(main())\n",
            "def f(time, random, socket):\n    return time.now + random.x + socket.y\n",
            "def evaluate(x):\n    return self.eval(x)\n",
            "def f(eval):\n    return eval(1)\n",
            "open(p)\nopen(p, 'r')\nopen(p, encoding='utf-8')\nwith open(p, 'rb') as f: pass\n",
            "from datetime import datetime, timedelta\nd = datetime.strptime(x, '%Y') + timedelta(1)\n",
            "import datetime\nx = datetime.date(2020, 1, 1)\n",
            "from urllib.parse import urlparse\nurlparse(x).netloc\n",
            "items.remove(x)\nd.pop('system')\nxs.open(3)\n",
            "from pathlib import Path\nprint(Path(p).read_text(), Path(p).name)\n",
            "getattr(x, name)\ngetattr(x, 'y', None)\n",
            "raise ValueError('x')\n",
            "request = {}\nrequest['x'] = 1\nprocess = request\n",
        ],
    );
}

#[test]
fn what_javascript_reaches_is_seen_under_any_name() {
    reaches(
        Language::Javascript,
        &[
            (Kind::Process, "require('child_process').execSync('x');"),
            (Kind::Process, "const { exec: e } = require('node:child_process'); e('x');"),
            (Kind::Process, "import { exec as e } from 'child_process';"),
            (Kind::Process, "import cp from 'child_process';"),
            (Kind::Process, "import * as cp from \"node:child_process\";"),
            (Kind::Process, "const cp = await import('child_process');"),
            (Kind::Process, "const r = require; r('child_process');"),
            (Kind::Process, "process.mainModule.require('child_process');"),
            (Kind::Process, "require('child\\x5fprocess');"),
            (Kind::Process, "process.getBuiltinModule('child_process').exec('x');"),
            (Kind::Evaluation, "require('child_' + x);"),
            (Kind::Evaluation, "import(x);"),
            (Kind::Evaluation, "eval(x);"),
            (Kind::Evaluation, "(0, eval)(x);"),
            (Kind::Evaluation, "globalThis['eval'](x);"),
            (Kind::Evaluation, "globalThis[x](y);"),
            (Kind::Evaluation, "new Function('x', y)();"),
            (Kind::Evaluation, "[].constructor.constructor(x)();"),
            (Kind::Evaluation, "\\u0065val(x);"),
            (Kind::Evaluation, "const fs = require('fs'); fs['un' + x](y);"),
            (Kind::Network, "fetch(u);"),
            (Kind::Network, "globalThis.fetch(u);"),
            (Kind::Network, "const h = require('https');"),
            (Kind::Network, "import net from 'node:net';"),
            (Kind::FileWrite, "require('fs').writeFileSync(p, x);"),
            (Kind::FileWrite, "const { promises: { writeFile: w } } = require('fs'); w(p, x);"),
            (Kind::FileWrite, "import { appendFile } from 'fs/promises';\nappendFile(p, x);"),
            (Kind::FileDeletion, "import fs from 'fs'; fs.rmSync(p);"),
            (Kind::FileDeletion, "const { unlinkSync } = require('fs');\nunlinkSync(p);"),
            (Kind::FileDeletion, "const fs = require('fs'); fs['unlinkSync'](p);"),
            (Kind::Unverified, "const o = { rejectUnauthorized: false };"),
            (Kind::Unverified, "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';"),
            (Kind::Unverified, "process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = 0;"),
            (Kind::Environment, "if (process.env.CI) {}"),
            (Kind::Environment, "const { env } = process; if (env.CI) {}"),
            (Kind::Environment, "require('os').hostname();"),
            (Kind::Environment, "if (__filename.includes('x')) {}"),
            (Kind::Environment, "process.argv[1];"),
            (Kind::Environment, "const fs = require('fs'); fs.existsSync('/.dockerenv');"),
            (Kind::Clock, "Date.now();"),
            (Kind::Clock, "new Date();"),
            (Kind::Random, "Math.random();"),
            (Kind::Native, "process.dlopen(m, p);"),
            (Kind::Exit, "process.exit(0);"),
            (Kind::Exit, "process.exitCode = 0;"),
            (Kind::Process, "process.on('uncaughtException', () => {});"),
            (Kind::Import, "import pad from 'left-pad';"),
            (Kind::Import, "require('./other');"),
        ],
    );
}

#[test]
fn what_only_looks_like_it_is_nothing_in_javascript() {
    is_harmless(
        Language::Javascript,
        &[
            "// require('child_process'); eval(x)\nlet x = 1;",
            "/* fetch(u) */ const s = \"eval(x); require('net')\";",
            "const t = `fetch(${u})`;",
            "const fs = require('fs');\nconst path = require('path');\nfs.readFileSync(path.join(a, b));",
            "process.stdout.write(x); process.argv.slice(2); process.argv[2]; process.exit(1);",
            "function f(request, fetch) { return fetch(request.body); }",
            "const request = { http: 1 }; request.http; const net = a.net; net.total;",
            "new Date(2020, 1, 1); new Date(text); Math.floor(x); Math.max(a, b);",
            "obj.eval(1); obj.fetch(2); xs.open(3); re.exec(s); /a/.exec(s);",
            "const o = { rejectUnauthorized: true, 'eval': 1 };",
            "fs.existsSync(path); import { x } from 'node:util';",
            "xs[i] = ys[j]; const { length } = xs; o[key]();",
            "throw new Error('x'); console.error(e); process.exitCode = 1;",
        ],
    );
}

#[test]
fn what_rust_reaches_is_seen_under_any_name() {
    reaches(
        Language::Rust,
        &[
            (Kind::Process, "fn f() { std::process::Command::new(\"x\"); }"),
            (Kind::Process, "use std::process::Command as C;\nfn f() { C::new(\"x\"); }"),
            (Kind::Process, "use std::{process::{self as p}};\nfn f() { p::Command::new(\"x\"); }"),
            (Kind::Process, "fn f() { println!(\"{:?}\", std::process::Command::new(\"x\").output()); }"),
            (Kind::Process, "fn f() { std::thread::spawn(g); }"),
            (Kind::Network, "use std::net as n;\nfn f() { n::TcpStream::connect(\"x\"); }"),
            (Kind::Network, "fn f() { ::std::net::TcpStream::connect(\"x\"); }"),
            (Kind::Network, "use reqwest::blocking::get;"),
            (Kind::FileWrite, "use std::fs;\nfn f() { fs::write(p, x); }"),
            (Kind::FileWrite, "use std::fs::*;\nfn f() { write(p, x); }"),
            (Kind::FileWrite, "use std::fs::File as F;\nfn f() { F::create(p); }"),
            (Kind::FileDeletion, "fn f() { std::fs::remove_file(p); }"),
            (Kind::FileDeletion, "use std::fs::{self};\nfn f() { vec![fs::remove_dir_all(p)]; }"),
            (Kind::Native, "fn f() { unsafe { g() } }"),
            (Kind::Native, "unsafe fn f() {}"),
            (Kind::Native, "fn f() { m!(unsafe { g() }); }"),
            (Kind::Native, "extern \"C\" { fn g(); }"),
            (Kind::Native, "use std::mem;\nfn f() { mem::transmute::<A, B>(x); }"),
            (Kind::Environment, "fn f() { std::env::var(\"CI\"); }"),
            (Kind::Environment, "use std::env::var as v;\nfn f() { v(\"CI\"); }"),
            (Kind::Environment, "fn f() { env!(\"CI\"); }"),
            (Kind::Environment, "fn f() { std::env::current_exe(); }"),
            (Kind::Clock, "use std::time::Instant;\nfn f() { Instant::now(); }"),
            (Kind::Random, "fn f() { rand::random::<u8>(); }"),
            (Kind::Unverified, "fn f() { b.danger_accept_invalid_certs(true); }"),
            (Kind::Exit, "fn f() { std::process::exit(0); }"),
            (Kind::Exit, "use std::process::exit as e;\nfn f() { e(0); }"),
            (Kind::Import, "use left_pad::pad;"),
            (Kind::Import, "mod other;"),
            (Kind::Evaluation, "include!(\"x.rs\");"),
        ],
    );
}

#[test]
fn what_only_looks_like_it_is_nothing_in_rust() {
    is_harmless(
        Language::Rust,
        &[
            "// unsafe { std::fs::remove_file(p) }\nfn f() {}",
            "/// Calls std::net.\nfn f() -> &'static str { \"std::process::Command\" }",
            "use std::collections::HashMap;\nuse std::fmt::{self, Display};\nuse std::io::{self, Read, Write};",
            "mod shapes { pub enum Shape { A } }\nuse shapes::Shape;\nuse crate::x;\nuse super::y;",
            "enum E { A }\nuse E::*;",
            "fn f() { std::process::exit(1); println!(\"{}\", std::cmp::max(a, b)); }",
            "fn main() { let args: Vec<String> = std::env::args().collect(); }",
            "use std::time::Duration;\nfn f(d: Duration) {}",
            "fn write(x: u8) {}\nfn f() { write(1); self.command.unsafe_count(); }",
            "fn f(rand: u8) -> u8 { rand + 1 }",
        ],
    );
}

#[test]
fn what_a_shell_reaches_is_seen_where_commands_stand() {
    reaches(
        Language::Shell,
        &[
            (Kind::Network, "curl \"$1\""),
            (Kind::Network, "command curl x"),
            (Kind::Network, "\\curl x"),
            (Kind::Network, "'cu'rl x"),
            (Kind::Network, "/usr/bin/curl x"),
            (Kind::Network, "x=$(wget -q -O - \"$1\")"),
            (Kind::Network, "echo a | nc host 80"),
            (Kind::Network, "if true; then env A=1 timeout 5 curl x; fi"),
            (Kind::Network, "cat x | xargs -n 1 curl"),
            (Kind::Network, "exec 3<>/dev/tcp/host/80"),
            (Kind::Network, "echo x > /dev/tcp/host/80"),
            (Kind::Network, "c=curl\n$c x"),
            (Kind::Network, "echo `curl x`"),
            (Kind::Network, "cat <(curl x)"),
            (Kind::Network, "echo \"a $(curl x)\""),
            (Kind::Evaluation, "$1 x"),
            (Kind::Evaluation, "eval \"$x\""),
            (Kind::Evaluation, "bash -c \"$x\""),
            (Kind::Evaluation, ". ./other"),
            (Kind::Evaluation, "python3 -c 'x'"),
            (Kind::Evaluation, "trap 'exit 0' ERR"),
            (Kind::Process, "sleep 5 &"),
            (Kind::Process, "kill \"$p\""),
            (Kind::Process, "awk 'BEGIN { system(\"x\") }'"),
            (Kind::FileWrite, "echo x > out.txt"),
            (Kind::FileWrite, "echo x >> \"$f\""),
            (Kind::FileWrite, "echo x | tee out"),
            (Kind::FileWrite, "sed -i s/a/b/ x"),
            (Kind::FileDeletion, "rm -rf \"$d\""),
            (Kind::FileDeletion, "find . -name x -delete"),
            (Kind::FileDeletion, "find . -exec rm {} ';'"),
            (Kind::Unverified, "curl -k x"),
            (Kind::Unverified, "git commit --no-verify"),
            (Kind::Environment, "if [ -n \"$CI\" ]; then :; fi"),
            (Kind::Environment, "echo \"${HOME}\""),
            (Kind::Environment, "h=$(hostname)"),
            (Kind::Environment, "case \"$0\" in x) ;; esac"),
            (Kind::Environment, "[ -e /.dockerenv ]"),
            (Kind::Environment, "grep x /proc/1/cgroup"),
            (Kind::Environment, "[ -t 1 ]"),
            (Kind::Clock, "date +%s"),
            (Kind::Random, "echo $RANDOM"),
            (Kind::Random, "head -c 4 /dev/urandom"),
            (Kind::Exit, "if x; then exit 0; fi"),
            (Kind::Import, "frobnicate x"),
        ],
    );
}

#[test]
fn what_only_looks_like_it_is_nothing_in_a_shell() {
    is_harmless(
        Language::Shell,
        &[
            "# curl x; rm -rf /\necho ok",
            "echo curl wget 'rm -rf' \"eval\"",
            "grep -c curl \"$1\"",
            "curl_count=3\necho \"$curl_count\"",
            "fetch() {\n  echo \"$1\"\n}\nfetch x",
            "x=$(sort \"$1\" | uniq -c | awk '{ print $1 }')",
            "if [ $# -lt 1 ]; then echo usage >&2; exit 2; fi",
            "for f in \"$@\"; do printf '%s\\n' \"$f\"; done",
            "foo=1\nBAR=2\necho \"$foo $BAR ${BAR:-x}\"",
            "while read -r line; do echo \"${line%% *}\"; done < \"$1\"",
            "cmp a b >/dev/null 2>&1",
            "set -euo pipefail\nlocal_name=${1:-}\nn=$((n + 1))",
            "case \"$1\" in curl) echo a ;; esac",
        ],
    );
}

#[test]
fn what_moves_is_no_gain_and_what_is_swapped_is_doubted() {
    let before = "import subprocess\n\ndef f():\n    subprocess.run(['x'])\n\ndef g():\n    pass\n";
    let moved = "import subprocess\n\ndef f():\n    pass\n\ndef g():\n    subprocess.run(['x'])\n";
    assert_eq!(gained(Language::Python, before, moved), []);
    let swapped = before.replace(".run(", ".check_output(");
    let found = gained(Language::Python, before, &swapped);
    assert_eq!(found.iter().map(|f| (f.grade, f.line)).collect::<Vec<_>>(), [(Grade::Doubt, 4)], "{found:?}");
    let found = gained(Language::Python, "x = 1\n", before);
    assert_eq!(found.first().map(|f| f.grade), Some(Grade::Refuse));
    assert!(found[0].text.starts_with("`subprocess` reaches other processes"), "{}", found[0].text);
    // An alias that was there before does not hide a further use.
    let before = "from os import system as s\n\ndef f(x):\n    return x\n";
    assert_eq!(gained(Language::Python, before, &before.replace("return x", "return s(x)")).len(), 1);
}

#[test]
fn sources_that_are_broken_deep_or_long_are_answered() {
    for language in [Language::Python, Language::Javascript, Language::Rust, Language::Shell, Language::Other] {
        let call = "f(".repeat(400) + &")".repeat(400);
        let chain = format!("a{}", ".b()".repeat(400));
        let alias = "a = a.b\n".repeat(400);
        let required = format!("require{}", "(require)".repeat(200));
        for source in [call.as_str(), &chain, &alias, &required, "import\nfrom import *\nuse ;\n$(", "\u{0}", ""] {
            let _ = gained(language, source, source);
        }
    }
    assert_eq!(capabilities(Language::Other, "import os; eval(x)"), []);
}
