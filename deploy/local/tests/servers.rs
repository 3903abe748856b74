//! The backing servers as the suite starts them: how fast, what survives, and what never outlives
//! its run. The programs are fetched once per target directory.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use chat_local::build_directory;
use chat_local::servers::{Options, Servers};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Options over a directory that goes with the value.
struct Scratch {
    options: Options,
}

impl Scratch {
    fn new(test: &str) -> Result<Self> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let data = target.join(format!("servers-{test}"));
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        Ok(Self {
            options: Options {
                binaries: build_directory()?.join("bin"),
                data,
                mongodb_uri: None,
                nats_url: None,
            },
        })
    }

    fn data(&self) -> &Path {
        &self.options.data
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a failed test leaves is removed by its next run.
        let _ = fs::remove_dir_all(&self.options.data);
    }
}

async fn documents(servers: &Servers) -> Result<mongodb::Collection<Document>> {
    let client = Client::with_options(ClientOptions::parse(&servers.mongodb_uri).await?)?;
    Ok(client.database("test").collection("documents"))
}

async fn stream(servers: &Servers) -> Result<jetstream::Context> {
    let context = jetstream::new(async_nats::connect(&servers.nats_url).await?);
    let config = jetstream::stream::Config {
        name: "test".to_owned(),
        subjects: vec!["test.>".to_owned()],
        ..Default::default()
    };
    context.get_or_create_stream(config).await?;
    Ok(context)
}

async fn write(servers: &Servers) -> Result<()> {
    documents(servers).await?.insert_one(doc! { "kept": true }).await?;
    stream(servers).await?.publish("test.kept", "kept".into()).await?.await?;
    Ok(())
}

async fn count(servers: &Servers) -> Result<(u64, u64)> {
    let in_mongodb = documents(servers).await?.count_documents(doc! {}).await?;
    let in_nats = stream(servers).await?.get_stream("test").await?.cached_info().state.messages;
    Ok((in_mongodb, in_nats))
}

fn runs(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

async fn gone(pid: u32) -> Result<()> {
    let wait = async {
        while runs(pid) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(8), wait).await.with_context(|| format!("process {pid} lives on"))
}

fn pids(servers: &Servers) -> Result<[u32; 2]> {
    let mongod = servers.mongod_pid().context("no mongod")?;
    Ok([mongod, servers.nats_pid().context("no nats-server")?])
}

fn line(outcome: Result<Servers>) -> Result<String> {
    let line = format!("{:#}", outcome.err().context("the servers started")?);
    ensure!(!line.contains('\n'), "more than one line: {line}");
    Ok(line)
}

#[tokio::test]
async fn servers_start_fast_and_keep_their_data() -> Result<()> {
    let scratch = Scratch::new("keep")?;
    // Fetching, on the first run, does not count.
    Servers::start(&scratch.options).await?.stop().await?;
    fs::remove_dir_all(scratch.data())?;

    let begun = Instant::now();
    let servers = Servers::start(&scratch.options).await?;
    let taken = begun.elapsed();
    // About 1 s on an idle machine; the other tests keep this one busy.
    assert!(taken < Duration::from_secs(10), "ready after {taken:?}");
    let first = pids(&servers)?;
    write(&servers).await?;
    let uri = servers.mongodb_uri.clone();
    servers.stop().await?;
    assert!(!first.into_iter().any(runs));

    let servers = Servers::start(&scratch.options).await?;
    assert_eq!(servers.mongodb_uri, uri, "the port is kept");
    assert_eq!(count(&servers).await?, (1, 1));
    servers.stop().await
}

#[tokio::test]
async fn servers_can_be_used_from_a_spawned_task() -> Result<()> {
    let scratch = Scratch::new("spawned")?;
    let options = scratch.options.clone();
    let task = tokio::spawn(async move {
        let mut servers = Servers::start(&options).await?;
        servers.restart_mongod().await?;
        servers.restart_nats().await?;
        let silent = timeout(Duration::from_millis(1), servers.ended()).await;
        ensure!(silent.is_err(), "both run");
        servers.stop().await
    });
    task.await?
}

#[tokio::test]
async fn replica_set_moves_when_its_port_is_taken() -> Result<()> {
    let scratch = Scratch::new("move")?;
    let servers = Servers::start(&scratch.options).await?;
    write(&servers).await?;
    let uri = servers.mongodb_uri.clone();
    servers.stop().await?;

    let port = fs::read_to_string(scratch.data().join("mongod/port"))?;
    let taken = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let other = tokio::spawn(async move { while taken.accept().await.is_ok() {} });
    let servers = Servers::start(&scratch.options).await?;
    assert_ne!(servers.mongodb_uri, uri);
    assert_eq!(count(&servers).await?, (1, 1));
    other.abort();
    servers.stop().await
}

#[tokio::test]
async fn killed_servers_restart_in_place() -> Result<()> {
    let scratch = Scratch::new("kill")?;
    let mut servers = Servers::start(&scratch.options).await?;
    let addresses = (servers.mongodb_uri.clone(), servers.nats_url.clone());
    write(&servers).await?;
    let killed = pids(&servers)?;
    servers.kill_mongod().await?;
    servers.kill_nats().await?;
    assert!(!killed.into_iter().any(runs));
    assert_eq!(servers.mongod_pid(), None);
    let silent = timeout(Duration::from_millis(200), servers.ended()).await;
    assert!(silent.is_err(), "a server killed on purpose is not reported");

    servers.restart_mongod().await?;
    servers.restart_nats().await?;
    assert_eq!((servers.mongodb_uri.clone(), servers.nats_url.clone()), addresses);
    assert_eq!(count(&servers).await?, (1, 1));
    servers.stop().await
}

#[tokio::test]
async fn server_that_ends_is_reported() -> Result<()> {
    let scratch = Scratch::new("ended")?;
    let mut servers = Servers::start(&scratch.options).await?;
    let [mongod, nats] = pids(&servers)?;
    let interrupted = timeout(Duration::from_millis(100), servers.ended()).await;
    assert!(interrupted.is_err(), "both run");
    Command::new("kill").args(["-KILL", &nats.to_string()]).status()?;
    let report = timeout(Duration::from_secs(5), servers.ended()).await?;
    let expected = format!("nats-server (process {nats}) ended (signal 9); the end of ");
    assert!(report.starts_with(&expected) && report.contains("Server is ready"), "{report}");
    drop(servers);
    gone(mongod).await
}

#[tokio::test]
async fn data_directory_serves_one_run() -> Result<()> {
    let scratch = Scratch::new("lock")?;
    let servers = Servers::start(&scratch.options).await?;
    let line = line(Servers::start(&scratch.options).await)?;
    assert!(
        line.starts_with("data directory ") && line.contains("in use by another run"),
        "{line}"
    );
    assert!(runs(servers.mongod_pid().context("no mongod")?));
    servers.stop().await
}

#[tokio::test]
async fn running_servers_are_used_as_they_are() -> Result<()> {
    let scratch = Scratch::new("given")?;
    let servers = Servers::start(&scratch.options).await?;
    let mut options = scratch.options.clone();
    options.binaries = PathBuf::from("/nonexistent");
    options.mongodb_uri = Some(servers.mongodb_uri.clone());
    options.nats_url = Some(servers.nats_url.clone());
    let mut given = Servers::start(&options).await?;
    assert_eq!((given.mongod_pid(), given.nats_pid()), (None, None));
    assert!(given.kill_nats().await.is_err());
    given.stop().await?;
    assert_eq!(count(&servers).await?, (0, 0));
    servers.stop().await?;

    let begun = Instant::now();
    let line = line(Servers::start(&options).await)?;
    assert!(line.contains(" does not answer: "), "{line}");
    assert!(begun.elapsed() < Duration::from_secs(6));
    Ok(())
}

#[tokio::test]
async fn servers_do_not_outlive_a_killed_run() -> Result<()> {
    let scratch = Scratch::new("orphan")?;
    let mut run = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_run_that_waits_to_be_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    writeln!(run.stdin.take().context("no stdin")?, "{}", scratch.data().display())?;
    let pids_file = scratch.data().join("pids");
    let started = async {
        while !pids_file.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_mins(15), started).await?;
    let pids: Vec<u32> = fs::read_to_string(&pids_file)?.lines().flat_map(str::parse).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().copied().all(runs));
    run.kill()?;
    run.wait()?;

    // The next run may come while the servers of the last are still ending.
    let servers = Servers::start(&scratch.options).await?;
    assert_eq!(count(&servers).await?, (1, 1));
    for pid in pids {
        gone(pid).await?;
    }
    servers.stop().await
}

#[tokio::test]
#[ignore = "is run by servers_do_not_outlive_a_killed_run, which kills it"]
async fn a_run_that_waits_to_be_killed() -> Result<()> {
    let mut data = String::new();
    std::io::stdin().lock().read_line(&mut data)?;
    let mut options = Scratch::new("unused")?.options.clone();
    options.data = PathBuf::from(data.trim());
    let mut servers = Servers::start(&options).await?;
    write(&servers).await?;
    let [mongod, nats] = pids(&servers)?;
    fs::write(options.data.join("pids.new"), format!("{mongod}\n{nats}\n"))?;
    fs::rename(options.data.join("pids.new"), options.data.join("pids"))?;
    anyhow::bail!(servers.ended().await)
}
