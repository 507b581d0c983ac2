//! Claims as rows: one statement makes, prolongs or ends one, and the row's lock lets only one of several through. The time is the
//! server's, which is one clock for all.

use anyhow::Result;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::connection::{Again, Param};
use super::lock::{Lock, atomically};
use super::table::plain;
use crate::config::LEASE_MAX;
use crate::world::claims::{Claim, Claims, Intend, Taken, Terms};
use crate::world::store::StoreError;

/// Not part of the schema's format: who knows no claims is not harmed by them. Times in Unix milliseconds.
const TABLE: &str = "create table if not exists claim (work text primary key, holder text not null, since bigint not null,
  until bigint not null, token text not null)";
const EXISTS: &str = "select exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'fractal' and c.relname = 'claim')";
const NOW: &str = "(extract(epoch from clock_timestamp()) * 1000)::bigint";
const COLUMNS: &str = "work, holder, since, until, token";

impl PostgresStore {
    fn claim_row(&self, sql: &str, parameters: &[Param<'_>]) -> Result<Option<Claim>> {
        let row = self.read(async |client| {
            if !client.query_typed_one(EXISTS, &[]).await?.try_get::<_, bool>(0)? {
                atomically(client, Lock::Alone, async |client| Ok(client.batch_execute(TABLE).await?)).await?;
            }
            client.query_typed_opt(sql, parameters).await?.map(|row| claim(&row)).transpose()
        })?;
        Ok(row)
    }
}

fn claim(row: &Row) -> Result<Claim, StoreError> {
    let time = |column: usize| -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millisecond(row.try_get(column)?).unwrap_or(Timestamp::UNIX_EPOCH))
    };
    Ok(Claim { work: row.try_get(0)?, holder: row.try_get(1)?, since: time(2)?, until: time(3)?, token: row.try_get(4)? })
}

fn milliseconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.min(LEASE_MAX).as_millis()).unwrap_or(i64::MAX)
}

fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Claims for PostgresStore {
    fn take(&self, work: &str, terms: &Terms, intend: Intend<'_>) -> Result<Taken> {
        let token = fresh();
        intend(&token)?;
        let (lease, skew) = (milliseconds(terms.lease), milliseconds(terms.skew));
        let (work, holder) = (plain(work), plain(&terms.holder));
        // The same server's clock said when it ends: nothing to tolerate but what somebody asks for.
        let sql = format!(
            "insert into claim as old values ($1, $2, {NOW}, {NOW} + $3, $4) on conflict (work) do update
             set holder = excluded.holder, since = excluded.since, until = excluded.until, token = excluded.token
             where old.until + $5 <= {NOW} or old.token = $4 returning {COLUMNS}"
        );
        let parameters: [Param<'_>; 5] =
            [(&work, Type::TEXT), (&holder, Type::TEXT), (&lease, Type::INT8), (&token, Type::TEXT), (&skew, Type::INT8)];
        if let Some(ours) = self.claim_row(&sql, &parameters)? {
            return Ok(Taken::Ours(ours));
        }
        let sql = format!("select {COLUMNS} from claim where work = $1");
        match self.claim_row(&sql, &[(&work, Type::TEXT)])? {
            Some(theirs) => Ok(Taken::Theirs(theirs)),
            // Given back in between: the next cycle takes it.
            None => anyhow::bail!("the claim on `{work}` was just given back"),
        }
    }

    fn renew(&self, claim: &Claim, terms: &Terms, intend: Intend<'_>) -> Result<Option<Claim>> {
        let (token, lease) = (fresh(), milliseconds(terms.lease));
        intend(&token)?;
        let (work, holder) = (plain(&claim.work), plain(&terms.holder));
        let sql = format!(
            "update claim set holder = $2, since = {NOW}, until = {NOW} + $3, token = $4
             where work = $1 and token in ($4, $5) returning {COLUMNS}"
        );
        let parameters: [Param<'_>; 5] =
            [(&work, Type::TEXT), (&holder, Type::TEXT), (&lease, Type::INT8), (&token, Type::TEXT), (&claim.token, Type::TEXT)];
        self.claim_row(&sql, &parameters)
    }

    fn release(&self, work: &str, token: &str) -> Result<()> {
        let sql = format!("delete from claim where work = $1 and token = $2 returning {COLUMNS}");
        self.claim_row(&sql, &[(&plain(work), Type::TEXT), (&token, Type::TEXT)]).map(drop)
    }

    fn all(&self) -> Result<Vec<Claim>> {
        Ok(self.link.run(Again::Harmless, async |client| {
            if !client.query_typed_one(EXISTS, &[]).await?.try_get::<_, bool>(0)? {
                // Nothing was ever claimed; who only looks makes no tables.
                return Ok(Vec::new());
            }
            let rows = client.query_typed(&format!("select {COLUMNS} from claim order by work"), &[]).await?;
            rows.iter().map(claim).collect::<Result<Vec<_>, _>>()
        })?)
    }
}
