//! Rows on their way into a table, column by column: few of them as one statement, many by binary `COPY`.

use std::pin::{Pin, pin};

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

/// Rows of a table.
pub(super) trait Table: Default {
    const NAME: &str;
    /// The columns' names and types.
    const COLUMNS: &[(&str, Type)];

    fn rows(&self) -> usize;

    /// Each column as one parameter.
    fn parameters(&self) -> Vec<Param<'_>>;

    /// Sends all rows.
    async fn send(&self, copy: Pin<&mut BinaryCopyInWriter>) -> Result<(), StoreError>;

    fn names() -> String {
        Self::COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Inserts all rows by one statement that ends with `rest`.
    async fn insert(&self, client: &Client, rest: &str) -> Result<Vec<Row>, StoreError> {
        let parameters = self.parameters();
        let places: Vec<String> = (1..=parameters.len()).map(|place| format!("${place}")).collect();
        let (table, columns) = (Self::NAME, Self::names());
        let sql = format!("insert into {table} ({columns}) select * from unnest({}) {rest}", places.join(", "));
        Ok(client.query_typed(&sql, &parameters).await?)
    }

    /// Begins to copy: the server works on what was sent while we make what comes next.
    async fn begin_copy(client: &Client) -> Result<BinaryCopyInWriter, StoreError> {
        let sink = client.copy_in(&format!("copy {} ({}) from stdin binary", Self::NAME, Self::names())).await?;
        let types: Vec<Type> = Self::COLUMNS.iter().map(|(_, of)| of.clone()).collect();
        Ok(BinaryCopyInWriter::new(sink, &types))
    }

    /// Writes all rows: few are inserted, many copied.
    async fn write(&self, client: &Client) -> Result<(), StoreError> {
        match self.rows() {
            0 => {}
            few if few < BULK => drop(self.insert(client, "").await?),
            _ => {
                let mut copy = pin!(Self::begin_copy(client).await?);
                self.send(copy.as_mut()).await?;
                copy.finish().await?;
            }
        }
        Ok(())
    }
}

/// A table's columns, with the type of one value and of an array of them.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident in $table:literal: $($column:ident: $kind:ty = $one:ident, $many:ident;)+) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name {
            $(pub $column: Vec<$kind>,)+
        }

        impl Table for $name {
            const NAME: &str = $table;
            const COLUMNS: &[(&str, Type)] = &[$((stringify!($column), Type::$one)),+];

            fn rows(&self) -> usize {
                [$(self.$column.len()),+][0]
            }

            fn parameters(&self) -> Vec<Param<'_>> {
                vec![$((&self.$column, Type::$many)),+]
            }

            async fn send(&self, mut copy: Pin<&mut BinaryCopyInWriter>) -> Result<(), StoreError> {
                for at in 0..self.rows() {
                    copy.as_mut().write(&[$(&self.$column[at]),+]).await?;
                }
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
    series: i32 = INT4, INT4_ARRAY;
    day: i32 = INT4, INT4_ARRAY;
    runs: i32 = INT4, INT4_ARRAY;
    failures: i32 = INT4, INT4_ARRAY;
    errors: i32 = INT4, INT4_ARRAY;
    open: bool = BOOL, BOOL_ARRAY;
    first: Option<Uuid> = UUID, UUID_ARRAY;
    last: Option<Uuid> = UUID, UUID_ARRAY;
    hours: Vec<u8> = BYTEA, BYTEA_ARRAY;
}
