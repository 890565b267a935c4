//! Measures appends on an endpoint: `cargo run --release -p helium-journal --example append_latency
//! -- sqlite:///tmp/x/state.db [FOLDER]`. Prints, for several payload sizes, the latency of one append
//! after another and of a head query. With a folder on the database's disk, also what a commit can't
//! do without: writing 8 KiB of a file that is there already, and `fdatasync`.
//!
//! What one append of 300 bytes takes on PostgreSQL 15 with its default, durable settings, over TCP, on
//! a virtual machine with two cores (medians): 300 µs, of them 130 µs `fdatasync`, 60 µs a round
//! trip with an empty query, 30 µs the insert itself, and the rest the floor query behind it and
//! wake-ups. `pgbench -c 1 -M prepared` with a plain insert of that size takes 310 µs there, so that
//! there is nothing to gain but a faster disk; a Unix socket saves 10 µs. SQLite takes 240 to 290 µs,
//! and a head query 30 µs there, 100 µs on PostgreSQL.
//!
//! On a machine that compiles meanwhile the same append takes 4 ms: with more runnable threads than
//! cores each of its wake-ups may wait for the scheduler's next tick, and a path through more processes
//! has more of them. Ratios between systems then say nothing. `chrt -f 10` before this program and
//! before the server takes that out; the disk's noise stays.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use helium_journal::conformance::entry;
use helium_journal::{Appended, EntryId, Options, Slot, TlsFiles, endpoint};

const ROUNDS: i64 = 400;
const PAGE: usize = 8192;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn print(what: &str, mut taken: Vec<Duration>) {
    taken.sort_unstable();
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&taken, percent));
    println!("{what:<24} p50 {p50:>10.1?}  p90 {p90:>10.1?}  p99 {p99:>10.1?}");
}

fn yardstick(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("append_latency.tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    file.write_all_at(&vec![0; PAGE * 400], 0)?;
    file.sync_all()?;
    let mut taken = Vec::new();
    for round in 0..ROUNDS.unsigned_abs() {
        let begun = Instant::now();
        file.write_all_at(&[1; PAGE], round * PAGE as u64)?;
        file.sync_data()?;
        taken.push(begun.elapsed());
    }
    print("fdatasync of 8 KiB", taken);
    std::fs::remove_file(path)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_default();
    if let Some(folder) = std::env::args().nth(2) {
        yardstick(Path::new(&folder))?;
    }
    let journal = endpoint::open(&url, &TlsFiles::default(), &Options::default()).await?;
    let mut newest = journal.head_read(Slot::ZERO).await?.newest;
    for size in [300, 10_000, 100_000, 1_000_000] {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            let (slot, prev) = newest.unwrap_or((Slot::ZERO, EntryId::NIL));
            let next = entry(slot.next().0, prev, vec![size as u8; size]);
            let begun = Instant::now();
            let appended = journal.entry_append(&next).await?;
            taken.push(begun.elapsed());
            if appended != Appended::Committed {
                return Err(format!("slot {}: {appended:?}", next.slot).into());
            }
            newest = Some((next.slot, next.id));
        }
        print(&format!("append of {size} bytes"), taken);
    }
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        journal
            .head_read(newest.map_or(Slot::ZERO, |(slot, _)| slot))
            .await?;
        taken.push(begun.elapsed());
    }
    print("head query", taken);
    journal.close().await;
    Ok(())
}
