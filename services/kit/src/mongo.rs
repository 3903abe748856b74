//! The MongoDB connection: deadlines, majority and journal, readiness, indexes and the kinds of its
//! errors. No queries.

use std::{future::IntoFuture, time::Duration};

use bson::doc;
use mongodb::{
    Client, Collection, Database, IndexModel,
    error::{ErrorKind, WriteFailure},
    event::{EventHandler, command::CommandEvent},
    options::{
        Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
    },
};

use crate::config;

/// How long one operation may take, the majority's acknowledgement included.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the driver looks for a primary before an operation fails.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a start waits for MongoDB.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Codes of a server that ceases to be the primary or ends. The driver labels them where it repeats a
/// command itself, and not where it is handed one.
const TRANSIENT_CODES: [i32; 6] = [91, 189, 10107, 11600, 11602, 13435];

/// Code of a write that a unique index refused.
const DUPLICATE_KEY: i32 = 11000;

/// What an operation can fail with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MongoError {
    /// MongoDB or its driver refused it.
    #[error("mongodb: {0}")]
    Driver(#[from] mongodb::error::Error),
    /// MongoDB did not answer in time; a write may have happened all the same.
    #[error("mongodb did not answer within {OPERATION_TIMEOUT:?}")]
    Timeout,
}

impl MongoError {
    /// Says whether the same operation may succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Driver(error) => {
                error.contains_label("RetryableWriteError")
                    || error.contains_label("TransientTransactionError")
                    || matches!(
                        &*error.kind,
                        ErrorKind::Command(command) if TRANSIENT_CODES.contains(&command.code)
                    )
                    || matches!(
                        *error.kind,
                        ErrorKind::Io(_)
                            | ErrorKind::ServerSelection { .. }
                            | ErrorKind::ConnectionPoolCleared { .. }
                            | ErrorKind::DnsResolve { .. }
                            | ErrorKind::Write(WriteFailure::WriteConcernError(_))
                    )
                    || matches!(
                        &*error.kind,
                        ErrorKind::InsertMany(many) if many.write_concern_error.is_some()
                    )
            }
        }
    }

    /// Returns the name of the unique index that refused a write, if one did. Where several would,
    /// MongoDB names the one that was created first.
    #[must_use]
    pub fn duplicate_key(&self) -> Option<&str> {
        let Self::Driver(error) = self else {
            return None;
        };
        let message = match &*error.kind {
            ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY => {
                &write.message
            }
            ErrorKind::Command(command) if command.code == DUPLICATE_KEY => &command.message,
            _ => return None,
        };
        index_in(message)
    }

    /// Returns the places of the documents that an unordered insert of several refused, each with the
    /// name of its unique index if one refused it; the others are stored. None where that is not known.
    #[must_use]
    pub fn refused(&self) -> Option<Vec<(usize, Option<&str>)>> {
        let Self::Driver(error) = self else {
            return None;
        };
        let ErrorKind::InsertMany(many) = &*error.kind else {
            return None;
        };
        if many.write_concern_error.is_some() {
            return None;
        }
        let refused = many.write_errors.as_ref()?.iter();
        let index = |code, message| if code == DUPLICATE_KEY { index_in(message) } else { None };
        Some(refused.map(|write| (write.index, index(write.code, &write.message))).collect())
    }
}

/// Returns the name of the index in the text of a duplicate key, which is the only place that has it.
fn index_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("index: ")?;
    rest.split_whitespace().next()
}

/// Batch size of a query that bounds itself: its whole result comes with the first answer, as far as the
/// 16 MiB of one allow.
pub const WHOLE: u32 = 1_000_000;

/// Runs one operation within [`OPERATION_TIMEOUT`].
pub async fn within<T>(
    operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, MongoError> {
    match tokio::time::timeout(OPERATION_TIMEOUT, operation.into_future()).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(MongoError::Timeout),
    }
}

/// Connects to the database `name`, unless the configuration gives another one, and waits for its
/// primary. `observer` sees every command that the driver sends.
pub async fn connect(
    config: &config::Mongo,
    name: &str,
    observer: Option<EventHandler<CommandEvent>>,
) -> anyhow::Result<Database> {
    let mut options = ClientOptions::parse(config.uri.expose())
        .await
        .map_err(|error| anyhow::anyhow!("mongo.uri cannot be used: {error}"))?;
    // Whatever the connection string says: a read from elsewhere could miss what was acknowledged.
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options.app_name = Some(name.to_owned());
    options.max_pool_size = Some(50);
    options.max_connecting = Some(4);
    options.server_selection_timeout = Some(SELECTION_TIMEOUT);
    options.connect_timeout = Some(SELECTION_TIMEOUT);
    options.read_concern = Some(ReadConcern::majority());
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .w_timeout(OPERATION_TIMEOUT)
            .journal(true)
            .build(),
    );
    options.command_event_handler = observer;
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    let database =
        Client::with_options(options)?.database(config.database.as_deref().unwrap_or(name));
    let reached = tokio::time::timeout(START_TIMEOUT, ping(&database)).await;
    match reached {
        Ok(Ok(())) => Ok(database),
        Ok(Err(error)) => anyhow::bail!("mongodb at {} is not reachable: {error}", hosts.join(",")),
        Err(_) => anyhow::bail!("mongodb at {} did not answer", hosts.join(",")),
    }
}

/// Asks MongoDB's primary for an answer.
pub async fn ping(database: &Database) -> Result<(), MongoError> {
    within(database.run_command(doc! { "ping": 1 })).await.map(drop)
}

/// Makes the indexes of a collection that are not there yet; a failure ends the start.
pub async fn create_indexes<T: Send + Sync>(
    collection: &Collection<T>,
    indexes: impl IntoIterator<Item = IndexModel> + Send,
) -> anyhow::Result<()> {
    let made = collection.create_indexes(indexes);
    tokio::time::timeout(START_TIMEOUT, made.into_future())
        .await
        .map_err(|_| anyhow::anyhow!("indexes of {} take too long", collection.name()))?
        .map_err(|error| anyhow::anyhow!("indexes of {}: {error}", collection.name()))?;
    Ok(())
}
