//! Measures the store with the work of one server: CPU per user, disk bytes per profile, memory.
//!
//! Fills a directory with profiles. Then, for the given time: reads the profiles of a batch of users, writes
//! them and marks a pair of each as pending, in one commit; and, as if the partner had been told, writes
//! them again and deletes the pairs, in another.
//!
//! `cargo run --release -p tidings-store --example commit_rate [profiles] [seconds] [users per batch]`
//!
//! CPU and memory are read from `/proc`, and are those of the whole process: making up the profiles is in
//! them.
#![expect(clippy::print_stdout, reason = "what it measures is its output")]
#![expect(
    clippy::cast_precision_loss,
    reason = "a few digits of each figure are enough"
)]

use smallvec::smallvec;
use std::{
    env,
    error::Error,
    fs,
    hint::black_box,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};
use tidings_engine::{
    BatchState, DayCount, DestinationState, IdKey, Profile, ProfileId, SegmentState, TraitState,
};
use tidings_model::{
    AuthState, DataSourceId, DestinationId, DeviceUuid, RegionId, SegmentId, Timestamp, TraitId,
};
use tidings_store::{
    Batch, PendingRow, Store, StoreSettings,
    codec::{decode_profile, encode_profile},
};

const DESTINATION: DestinationId = DestinationId(423);

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |place: usize, default: u64| match env::args().nth(place) {
        None => Ok(default),
        Some(text) => text.parse(),
    };
    let profiles = argument(1, 1_000_000)?;
    let seconds = argument(2, 30)?;
    let users = argument(3, 1_000)?;

    let dir = tempfile::tempdir()?;
    let settings = StoreSettings::default();
    let store = Store::open(dir.path(), &settings)?;
    codec()?;
    fill(&store, profiles)?;
    steady(&store, profiles, Duration::from_secs(seconds), users)?;
    disk(dir.path(), profiles)?;
    drop(store);

    let start = Instant::now();
    let store = Store::open(dir.path(), &settings)?;
    println!("opened again in {:.2} s", start.elapsed().as_secs_f64());
    drop(store);
    disk(dir.path(), profiles)
}

fn codec() -> Result<(), Box<dyn Error>> {
    const ROUNDS: u32 = 100_000;
    let profile = profile(1);
    let mut bytes = Vec::new();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        bytes.clear();
        encode_profile(black_box(&profile), &mut bytes);
    }
    let encoded = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(decode_profile(black_box(&bytes))?);
    }
    let decoded = start.elapsed() / ROUNDS;
    println!(
        "codec: {} bytes, encode {encoded:?}, decode {decoded:?}",
        bytes.len()
    );
    Ok(())
}

fn fill(store: &Store, profiles: u64) -> Result<(), Box<dyn Error>> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let (mut batch, mut bytes) = (Batch::new(), 0);
    for number in 0..profiles {
        batch.put_profile(&device(number), &profile(number));
        if batch.len() == 2_000 || number + 1 == profiles {
            bytes += batch.bytes();
            store.commit(&batch)?;
            batch.clear();
        }
    }
    println!(
        "fill: {profiles} profiles in {:.1} s, {:.1} us of CPU and {:.0} bytes of rows per profile",
        start.elapsed().as_secs_f64(),
        (cpu_seconds()? - cpu) * 1e6 / profiles as f64,
        bytes as f64 / profiles as f64,
    );
    Ok(())
}

fn steady(store: &Store, profiles: u64, time: Duration, users: u64) -> Result<(), Box<dyn Error>> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let (mut random, mut batch) = (Random(99), Batch::new());
    let (mut done, mut reading, mut commits) = (0, Duration::ZERO, Vec::new());
    while start.elapsed() < time {
        let devices = (0..users).map(|_| device(random.below(profiles)));
        let mut batch_users = Vec::new();
        let read = Instant::now();
        for uuid in devices {
            let profile = store.profile(&uuid)?.ok_or("a profile is missing")?;
            batch_users.push((uuid, profile));
        }
        reading += read.elapsed();

        batch.clear();
        let seq = store.next_seq();
        for (uuid, profile) in &mut batch_users {
            let since = profile.last_seen.plus_seconds(1);
            profile.last_seen = since;
            batch.replace_profile(uuid, profile);
            batch.put_pending(DESTINATION, uuid, &PendingRow { seq, since });
        }
        commits.push(timed_commit(store, &batch)?);

        batch.clear();
        for (uuid, profile) in &mut batch_users {
            profile.last_sent = Some(profile.last_seen);
            batch.replace_profile(uuid, profile);
            batch.delete_pending(DESTINATION, uuid);
        }
        commits.push(timed_commit(store, &batch)?);
        done += users;
    }
    commits.sort();
    let quantile = |per_mille: usize| commits.get((commits.len() - 1) * per_mille / 1000);
    println!(
        "steady, batches of {users}: {:.1} k users/s, {:.1} us of CPU and {:.1} us of reading per user",
        done as f64 / start.elapsed().as_secs_f64() / 1e3,
        (cpu_seconds()? - cpu) * 1e6 / done as f64,
        reading.as_secs_f64() * 1e6 / done as f64,
    );
    println!(
        "commit: median {:.1?}, 99 % {:.1?}, 99.9 % {:.1?}, longest {:.1?}",
        quantile(500).ok_or("no commit")?,
        quantile(990).ok_or("no commit")?,
        quantile(999).ok_or("no commit")?,
        quantile(1000).ok_or("no commit")?,
    );
    println!("memory, at most: {}", memory_peak()?);
    Ok(())
}

fn timed_commit(store: &Store, batch: &Batch) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    store.commit(batch)?;
    Ok(start.elapsed())
}

fn disk(dir: &Path, profiles: u64) -> Result<(), Box<dyn Error>> {
    let (tables, journal) = bytes_on_disk(dir)?;
    println!(
        "disk: {:.0} bytes per profile, and {:.0} MiB of journal",
        tables as f64 / profiles as f64,
        journal as f64 / f64::from(1 << 20),
    );
    Ok(())
}

/// Bytes of blocks that files take, those of the journal apart.
fn bytes_on_disk(path: &Path) -> Result<(u64, u64), Box<dyn Error>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        let bytes = metadata.blocks() * 512;
        let journal = path.extension().is_some_and(|extension| extension == "jnl");
        return Ok(if journal { (0, bytes) } else { (bytes, 0) });
    }
    let mut total = (0, 0);
    for entry in fs::read_dir(path)? {
        let (tables, journal) = bytes_on_disk(&entry?.path())?;
        total = (total.0 + tables, total.1 + journal);
    }
    Ok(total)
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    /// Of the kernel's clock, on every common build of it.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat")?;
    // User and system time are the 14th and 15th field; the second, a name, may hold spaces.
    let (_, fields) = text.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn memory_peak() -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(peak
        .ok_or("no VmHWM in /proc/self/status")?
        .trim()
        .to_owned())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn id(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(end.into())).unwrap_or_default()
    }

    /// Up to `count` ids, ascending.
    fn ids(&mut self, count: usize, end: u32) -> Vec<u32> {
        let mut ids: Vec<_> = (0..count).map(|_| self.id(end)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn pick(&mut self, moments: &[Timestamp]) -> Timestamp {
        let place = usize::try_from(self.next()).unwrap_or_default() % moments.len();
        moments.get(place).copied().unwrap_or_default()
    }
}

fn device(number: u64) -> DeviceUuid {
    let mut random = Random(number);
    let number = u128::from(random.next()) << 64 | u128::from(random.next());
    DeviceUuid::from_random(number.to_le_bytes())
}

/// A profile of 20 traits with ids up to 100,000, realised at six moments within 30 days, some counted by
/// day; 5 segments, a UUID and a number of 24 digits as ids, 2 destinations.
fn profile(number: u64) -> Profile {
    let mut random = Random(number ^ 0x55);
    let last_seen = Timestamp(1_773_480_413).plus_seconds(-i64::from(random.id(600)));
    let mut moments = vec![last_seen];
    for _ in 0..5 {
        moments.push(last_seen.plus_seconds(-i64::from(random.id(30 * 86_400))));
    }
    let trait_state = |random: &mut Random, id| {
        let last = random.pick(&moments);
        let (day, count) = (last.day(), 1);
        TraitState {
            id: TraitId(id),
            last,
            older: if random.below(5) == 0 { 3 } else { 0 },
            days: match random.below(4) {
                0 => smallvec![DayCount { day, count }],
                _ => smallvec![],
            },
        }
    };
    let traits = random.ids(20, 100_000);
    let traits = traits
        .into_iter()
        .map(|id| trait_state(&mut random, id))
        .collect();
    let segments = random.ids(5, 20_000);
    let uuid = format!("6d92078a-8246-4ba4-ae5b-{:012x}", random.next() >> 16);
    let digits = format!("{:024}", random.next());
    let profile_id = |random: &mut Random, key, data_source, id: String| ProfileId {
        key: IdKey(key),
        data_source: DataSourceId(data_source),
        id: id.into(),
        linked: true,
        state: AuthState::Authenticated,
        linked_at: random.pick(&moments),
    };
    let destination = |id, told: &[u32], key| DestinationState {
        id,
        told: told.iter().copied().map(SegmentId).collect(),
        told_ids: smallvec![IdKey(key)],
        owed: smallvec![],
        pending: None,
        undelivered: false,
        when_seen: false,
        batch: BatchState::default(),
    };
    Profile {
        generation: 3,
        last_seen,
        evaluated: last_seen,
        last_sent: Some(random.pick(&moments)),
        regions: vec![RegionId(9)],
        traits,
        ids: vec![
            profile_id(&mut random, 0, 12_345, uuid),
            profile_id(&mut random, 1, 20_914, digits),
        ],
        destinations: vec![
            destination(DESTINATION, &segments, 0),
            destination(
                DestinationId(1_108),
                segments.get(1..).unwrap_or_default(),
                1,
            ),
        ],
        segments: segments
            .iter()
            .map(|id| SegmentState {
                id: SegmentId(*id),
                since: random.pick(&moments),
            })
            .collect(),
        ..Profile::default()
    }
}
