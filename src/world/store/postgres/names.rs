//! What repeats is written once: tools with their versions, callers, fingerprints, failures. Each has a number.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::connection::Param;
use super::table::plain;
use crate::model::{Execution, Failure, NewExecution};
use crate::world::store::StoreError;
use crate::world::store::row::caller_class;

/// The numbers that were looked up. They are valid as long as the generation is: see `remove.rs`.
#[derive(Default)]
pub(super) struct Names {
    /// `None`: nothing was looked up yet.
    generation: Option<i64>,
    series: HashMap<String, HashMap<String, i32>>,
    /// With the number of the class.
    callers: HashMap<String, (i32, i32)>,
    /// By the key of the failure, with the number of the fingerprint.
    failures: HashMap<Uuid, (i32, i32)>,
    /// Series that are known to have failed.
    failed: HashSet<i32>,
}

/// The numbers of an execution's names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub series: i32,
    pub caller: i32,
    pub class: i32,
    /// Fingerprint and failure.
    pub failure: Option<(i32, i32)>,
}

/// More are not remembered.
const REMEMBERED: usize = 200_000;
/// How often a name is looked up that somebody else makes or removes at the same time.
const ROUNDS: usize = 10;

/// What a name is found by.
pub(super) fn key(parts: &[&str]) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bits = [0; 16];
    bits.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Uuid::from_bytes(bits)
}

/// How often names were removed so far.
pub(super) const GENERATION: &str = "select coalesce(max(value), 0) from counter where name = 'generation'";

async fn generation(client: &Client) -> Result<i64, StoreError> {
    Ok(client.query_typed_one(GENERATION, &[]).await?.try_get(0)?)
}

impl Names {
    pub fn is_of(&self, generation: i64) -> bool {
        self.generation == Some(generation)
    }

    /// Looks up what a batch names, and makes what is not there. Outside of any transaction, so that nobody waits for a name. The
    /// numbers of each execution.
    pub async fn prepare(&mut self, client: &Client, batch: &[NewExecution]) -> Result<Vec<Numbers>, StoreError> {
        if self.generation.is_none() || self.callers.len() + self.failures.len() + self.series.len() > REMEMBERED {
            *self = Names { generation: Some(generation(client).await?), ..Names::default() };
        }
        let (mut missing, mut found) = (Missing::default(), Vec::with_capacity(batch.len()));
        for new in batch {
            let execution = &new.execution;
            let failure = execution.failure.as_ref().map(|failure| self.look_for(&mut missing, failure)).transpose()?;
            let numbers = self.of(execution, failure);
            if numbers.is_none() {
                let (tool, version) = (execution.tool.as_str(), execution.version.as_str());
                missing.series.insert(key(&[tool, version]), (tool, version));
                missing.callers.insert(&execution.caller);
            }
            found.push((numbers, failure));
        }
        if batch.iter().any(|new| new.execution.mark.is_some()) {
            self.look_for(&mut missing, &Failure::wrong_output())?;
        }
        self.make_series(client, &missing).await?;
        self.make_callers(client, &missing).await?;
        self.make_failures(client, &missing).await?;
        let made =
            found.into_iter().zip(batch).map(|((numbers, failure), new)| numbers.or_else(|| self.of(&new.execution, failure)));
        made.map(|numbers| numbers.ok_or(StoreError::Busy)).collect()
    }

    /// The same for what `mark` needs.
    pub async fn prepare_mark(&mut self, client: &Client) -> Result<(), StoreError> {
        if self.generation.is_none() {
            *self = Names { generation: Some(generation(client).await?), ..Names::default() };
        }
        let mut missing = Missing::default();
        self.look_for(&mut missing, &Failure::wrong_output())?;
        self.make_failures(client, &missing).await
    }

    /// Forgets everything: somebody has removed names.
    pub fn clear(&mut self) {
        *self = Names::default();
    }

    /// The key of a failure, which is missing unless it was looked up.
    fn look_for(&self, missing: &mut Missing<'_>, failure: &Failure) -> Result<Uuid, StoreError> {
        let body = serde_json::to_string(failure)?;
        let key = key(&[&body]);
        if !self.failures.contains_key(&key) {
            missing.failures.insert(key, (body, failure.fingerprint.as_str().to_string()));
        }
        Ok(key)
    }

    /// The numbers of an execution with the key of its failure, as far as they were looked up.
    fn of(&self, execution: &Execution, failure: Option<Uuid>) -> Option<Numbers> {
        let series = *self.series.get(execution.tool.as_str())?.get(execution.version.as_str())?;
        let (caller, class) = *self.callers.get(execution.caller.as_str())?;
        let failure = match failure {
            Some(key) => Some(*self.failures.get(&key)?),
            None => None,
        };
        Some(Numbers { series, caller, class, failure })
    }

    /// The numbers of the failure that a mark is, after [`Names::prepare_mark`].
    ///
    /// # Errors
    /// When they were not looked up.
    pub fn wrong_output(&self) -> Result<(i32, i32), StoreError> {
        let key = key(&[&serde_json::to_string(&Failure::wrong_output())?]);
        self.failures.get(&key).copied().ok_or(StoreError::Busy)
    }

    /// Those of the series that are not known to have failed. They are known from now on.
    pub fn now_failed(&mut self, series: Vec<i32>) -> Vec<i32> {
        series.into_iter().filter(|series| self.failed.insert(*series)).collect()
    }

    async fn make_series(&mut self, client: &Client, missing: &Missing<'_>) -> Result<(), StoreError> {
        let keys: Vec<Uuid> = missing.series.keys().copied().collect();
        let (tools, versions): (Vec<String>, Vec<String>) =
            missing.series.values().map(|(tool, version)| (plain(tool), plain(version))).unzip();
        let columns: [Param<'_>; 2] = [(&tools, Type::TEXT_ARRAY), (&versions, Type::TEXT_ARRAY)];
        let found = numbers(client, "series", "tool, version", &keys, &columns).await?;
        for (key, (tool, version)) in &missing.series {
            if let Some(number) = found.get(key) {
                self.series.entry(tool.to_string()).or_default().insert(version.to_string(), *number);
            }
        }
        Ok(())
    }

    async fn make_callers(&mut self, client: &Client, missing: &Missing<'_>) -> Result<(), StoreError> {
        let own: BTreeMap<Uuid, &str> = missing.callers.iter().map(|name| (key(&[name]), *name)).collect();
        let class_of: HashMap<&str, String> = own.values().map(|name| (*name, caller_class(name))).collect();
        let classes: BTreeMap<Uuid, &str> = class_of.values().map(|class| (key(&[class]), class.as_str())).collect();
        let mut numbered = HashMap::new();
        // Classes first: their numbers are part of the others.
        for names in [&classes, &own] {
            let (keys, texts): (Vec<Uuid>, Vec<String>) = names.iter().map(|(key, name)| (*key, plain(name))).unzip();
            let class = |name: &&str| class_of.get(*name).filter(|class| *class != *name).map(|class| key(&[class]));
            let of_class: Vec<Option<i32>> =
                names.values().map(|name| class(name).and_then(|key| numbered.get(&key).copied())).collect();
            let columns: [Param<'_>; 2] = [(&texts, Type::TEXT_ARRAY), (&of_class, Type::INT4_ARRAY)];
            numbered.extend(numbers(client, "caller", "name, class", &keys, &columns).await?);
        }
        for (own, name) in own {
            let class = class_of.get(name).and_then(|class| numbered.get(&key(&[class])));
            if let (Some(own), Some(class)) = (numbered.get(&own), class) {
                self.callers.insert(name.to_string(), (*own, *class));
            }
        }
        Ok(())
    }

    async fn make_failures(&mut self, client: &Client, missing: &Missing<'_>) -> Result<(), StoreError> {
        let prints: BTreeMap<Uuid, &str> = missing.failures.values().map(|(_, print)| (key(&[print]), print.as_str())).collect();
        let (keys, texts): (Vec<Uuid>, Vec<String>) = prints.iter().map(|(key, print)| (*key, plain(print))).unzip();
        let prints = numbers(client, "fingerprint", "name", &keys, &[(&texts, Type::TEXT_ARRAY)]).await?;
        let print_of = |print: &str| prints.get(&key(&[print])).copied();
        let keys: Vec<Uuid> = missing.failures.keys().copied().collect();
        let (bodies, of): (Vec<&str>, Vec<Option<i32>>) =
            missing.failures.values().map(|(body, print)| (body.as_str(), print_of(print))).unzip();
        let columns: [Param<'_>; 2] = [(&bodies, Type::TEXT_ARRAY), (&of, Type::INT4_ARRAY)];
        let found = numbers(client, "failure", "body, fingerprint", &keys, &columns).await?;
        for (key, (_, print)) in &missing.failures {
            if let (Some(print), Some(failure)) = (print_of(print), found.get(key)) {
                self.failures.insert(*key, (print, *failure));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Missing<'a> {
    series: BTreeMap<Uuid, (&'a str, &'a str)>,
    callers: std::collections::BTreeSet<&'a str>,
    failures: BTreeMap<Uuid, (String, String)>,
}

/// The numbers of keys; those that are not there are made, in the order of the keys.
async fn numbers(
    client: &Client,
    table: &str,
    columns: &str,
    keys: &[Uuid],
    values: &[Param<'_>],
) -> Result<HashMap<Uuid, i32>, StoreError> {
    let select = format!("select key, id from {table} where key = any($1)");
    let places: Vec<String> = (2..=values.len() + 1).map(|place| format!("${place}")).collect();
    let insert = format!(
        "insert into {table} (key, {columns}) select w.* from unnest($1, {}) as w (key, {columns})
         where not exists (select 1 from {table} t where t.key = w.key) order by w.key on conflict do nothing",
        places.join(", ")
    );
    let parameters: Vec<Param<'_>> = [(&keys as _, Type::UUID_ARRAY)].into_iter().chain(values.iter().cloned()).collect();
    let mut found = HashMap::new();
    for round in 0..ROUNDS {
        if round > 0 {
            client.execute_typed(&insert, &parameters).await?;
        }
        if !keys.is_empty() {
            let rows = client.query_typed(&select, &parameters[..1]).await?;
            found = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, StoreError>>()?;
        }
        if found.len() == keys.len() {
            return Ok(found);
        }
    }
    Err(StoreError::Busy)
}
