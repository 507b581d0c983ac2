//! Rows on their way into a table, column by column: few of them as one statement, many by binary `COPY`.

use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::connection::Param;
use crate::world::store::StoreError;
use crate::world::store::row::Bits;

/// So many rows are copied instead of inserted.
pub(super) const BULK: usize = 200;

/// Bits as PostgreSQL has them.
pub(super) fn uuid(bits: &Bits) -> Uuid {
    Uuid::from_bytes(*bits)
}

/// Text without the one character that PostgreSQL's texts cannot hold.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// A table's columns with their types, and how rows get in.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident in $table:literal: $($column:ident: $kind:ty = $one:ident, $many:ident;)+) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name {
            $(pub $column: Vec<$kind>,)+
        }

        impl $name {
            fn columns() -> String {
                [$(stringify!($column)),+].join(", ")
            }

            /// Inserts all rows by one statement that ends with `rest`.
            pub async fn insert(&self, client: &Client, rest: &str) -> Result<Vec<Row>, StoreError> {
                let parameters: Vec<Param<'_>> = vec![$((&self.$column, Type::$many)),+];
                let places: Vec<String> = (1..=parameters.len()).map(|place| format!("${place}")).collect();
                let (table, columns) = ($table, Self::columns());
                let sql = format!("insert into {table} ({columns}) select * from unnest({}) {rest}", places.join(", "));
                Ok(client.query_typed(&sql, &parameters).await?)
            }

            /// Copies all rows, and shows each to `seen` once it is on its way: the server works in the meantime.
            pub async fn copy(&self, client: &Client, mut seen: impl FnMut(usize)) -> Result<(), StoreError> {
                let (table, columns) = ($table, Self::columns());
                let sink = client.copy_in(&format!("copy {table} ({columns}) from stdin binary")).await?;
                let mut writer = pin!(BinaryCopyInWriter::new(sink, &[$(Type::$one),+]));
                let rows = [$(self.$column.len()),+][0];
                for at in 0..rows {
                    writer.as_mut().write(&[$(&self.$column[at]),+]).await?;
                    seen(at);
                }
                writer.finish().await?;
                Ok(())
            }
        }
    };
}

table! {
    /// See `schema.rs`.
    Executions in "execution":
    began: i64 = INT8, INT8_ARRAY;
    duration: i64 = INT8, INT8_ARRAY;
    exit: i64 = INT8, INT8_ARRAY;
    series: i32 = INT4, INT4_ARRAY;
    caller: i32 = INT4, INT4_ARRAY;
    fingerprint: Option<i32> = INT4, INT4_ARRAY;
    failure: Option<i32> = INT4, INT4_ARRAY;
    outcome: i16 = INT2, INT2_ARRAY;
    marked: bool = BOOL, BOOL_ARRAY;
    id: Uuid = UUID, UUID_ARRAY;
    input: Option<Uuid> = UUID, UUID_ARRAY;
    stdin: Option<Uuid> = UUID, UUID_ARRAY;
    stdout: Option<Uuid> = UUID, UUID_ARRAY;
    stderr: Option<Uuid> = UUID, UUID_ARRAY;
    expected: Option<Uuid> = UUID, UUID_ARRAY;
    exit_note: Option<String> = TEXT, TEXT_ARRAY;
    given: Option<String> = TEXT, TEXT_ARRAY;
}

table! {
    /// Parts of rollups.
    Rollups in "rollup":
    log_sum: i64 = INT8, INT8_ARRAY;
    log_squares: i64 = INT8, INT8_ARRAY;
    series: i32 = INT4, INT4_ARRAY;
    hour: i32 = INT4, INT4_ARRAY;
    caller: i32 = INT4, INT4_ARRAY;
    runs: i32 = INT4, INT4_ARRAY;
    failures: i32 = INT4, INT4_ARRAY;
    errors: i32 = INT4, INT4_ARRAY;
    episodes: i32 = INT4, INT4_ARRAY;
    first_fingerprint: Option<i32> = INT4, INT4_ARRAY;
    last_fingerprint: Option<i32> = INT4, INT4_ARRAY;
    settled: bool = BOOL, BOOL_ARRAY;
    first: Option<Uuid> = UUID, UUID_ARRAY;
    last: Option<Uuid> = UUID, UUID_ARRAY;
    sketch: Vec<u8> = BYTEA, BYTEA_ARRAY;
}

table! {
    /// Parts of failing inputs.
    Failing in "failing":
    series: i32 = INT4, INT4_ARRAY;
    hour: i32 = INT4, INT4_ARRAY;
    fingerprint: i32 = INT4, INT4_ARRAY;
    failures: i32 = INT4, INT4_ARRAY;
    newest: Uuid = UUID, UUID_ARRAY;
    input: Option<Uuid> = UUID, UUID_ARRAY;
}
