//! What the benchmarks share: made-up executions of a fleet, the same each time.

use std::time::Duration;

use fractal::model::{
    Arg, BlobId, CaptureLevel, Execution, ExecutionId, Exit, Failure, Frame, Input, NewExecution, Outcome, Version,
};
use jiff::Timestamp;

/// A fleet: tools that run ten million times a month, in two versions; five runs of a hundred fail. Fewer runs are its last days.
pub struct Fleet {
    pub tools: u64,
    pub runs: u64,
    pub capture: CaptureLevel,
}

/// Runs of the fleet in a month.
const RATE: u64 = 10_000_000;
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// SplitMix64 (Steele, Lea, Flood 2014).
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The end of the month.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).expect("valid")
}

impl Fleet {
    /// The run with this number; they are in the order of time.
    pub fn run(&self, number: u64) -> NewExecution {
        let dice = random(number);
        let tool = dice % self.tools;
        let ended = now() - Duration::from_millis((self.runs - number) * MONTH.as_millis() as u64 / RATE);
        let duration = Duration::from_micros(2_000 + (dice >> 20) % 300_000);
        let version = if number * 2 < self.runs { "before" } else { "after" };
        let failed = (dice >> 8) % 100 < 5;
        // Some inputs are frequent, most are rare.
        let which = if dice & 1 << 40 == 0 { (dice >> 41) % 50 } else { (dice >> 41) % 100_000 };
        let input = Input {
            args: vec![Arg::from("--account"), Arg::from(format!("acct-{which:06}").as_str()), Arg::from("report.csv")],
            stdin: None,
            cwd: Some("jobs".into()),
            truncated: false,
            withheld: None,
        };
        let digest = self.capture == CaptureLevel::Digest;
        let failure = failed.then(|| {
            let frame = Frame { path: format!("tools/t{tool}.py"), function: Some("load".into()), line: 12, in_repo: true };
            let message = if digest { String::new() } else { "KeyError: 'total'".into() };
            Failure::new(&Exit::Code(1), Some("KeyError".into()), &message, vec![frame])
        });
        let stdout = format!("{{\"account\": {which}, \"total\": {}}}\n", which * 17).into_bytes();
        let execution = Execution {
            id: ExecutionId::derived(ended, &[&number.to_le_bytes()]),
            tool: format!("tool-{tool:04}"),
            version: Version(format!("{version}-{tool:04}-0123456789abcdef0123456789ab")),
            at: ended - duration,
            duration,
            input: if digest { input.to_digest() } else { input },
            exit: Exit::Code(i32::from(failed)),
            outcome: if failed { Outcome::Failure } else { Outcome::Success },
            failure,
            stdout: (!failed).then(|| BlobId::of(&stdout)),
            stderr: None,
            caller: ["exec", "ci", "cron"][(dice >> 3) as usize % 3].into(),
            mark: None,
        };
        NewExecution { execution, stdin: None, stdout: None, stderr: None, expected: None }
    }
}
