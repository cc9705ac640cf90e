//! The durable state of one process: profiles, links, pending and undelivered pairs, in an embedded
//! database.
//!
//! One thread fills a [`Batch`] and commits it to the [`Store`], any thread reads. A commit is all or
//! nothing, and on disk when it returns; commits have consecutive sequence numbers.
//!
//! # The directory
//!
//! | file | what |
//! | --- | --- |
//! | `lock` | locked by the process that has the store open, whose id it holds |
//! | `head` | how far acknowledged commits go (`head.rs`): a database that lags behind has lost some |
//! | `db/` | the database |
//! | `journal.damaged` | a damaged file of the database's journal, copied before its end was cut off |
//! | `db.new/` | a database whose making was cut short; removed at the next start |
//!
//! # The rows
//!
//! One keyspace; [`keys`] has the form of keys. Numbers in values are varints.
//!
//! | key | value | why |
//! | --- | --- | --- |
//! | `p` device | profile, see [`codec`] | the truth; about 175 bytes for 20 traits, 5 segments, 2 ids |
//! | `q` commit | version, pairs with seq and time of the touch | the pending set, as far as it is new: what one commit added to it and took out of it (`pending.rs`) |
//! | `o` destination device | version, seq and time of the touch | the rest of the pending set: pairs that have waited for long |
//! | `u` destination device | version, flags, time, reason | pairs that were given up: held, or dropped and listed |
//! | `i` data source, id | version, devices with their times | declared id to the devices it is linked to, the newest last |
//! | `b` destination device | nothing | devices with changes since the destination's last batch |
//! | `h` destination number | version, flags, times, counts | the last batches of the destination |
//! | `a` destination time position | version, attempts | the attempt log: what was settled in one commit, trimmed by age and size |
//! | `r` destination device segment data source, id | version, removals | the removal ledger: when a Status 0 was owed, tried and acknowledged |
//! | `e` destination | version, flags, times, counts, device | how far the last resend of undelivered pairs has come |
//! | `x` mark | nothing | declared ids that opted out, and devices of which nothing else is stored, as keyed hashes (`opt_out.rs`) |
//! | `t` hour device | nothing | timers: the profile can change by itself in this hour |
//! | `m/format` | u32 LE | the format of all this; a newer one is refused, an older one is brought up to it at opening |
//! | `m/epoch` | u32 LE | counts the times that the directory was opened |
//! | `m/opt-out` | 32 bytes | the random key of `x` rows |
//! | `m/head` | seq u64 LE, hash u64 LE | written with every commit |
//!
//! # Example
//!
//! ```
//! use tidings_store::{Batch, PendingRow, Store, StoreSettings};
//! use tidings_engine::Profile;
//! use tidings_model::{DestinationId, DeviceUuid, Timestamp};
//!
//! let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path(), &StoreSettings::default())?;
//! let device: DeviceUuid = "19393572368547369350319949416899715727".parse()?;
//! let destination = DestinationId(423);
//!
//! let mut batch = Batch::new();
//! let since = Timestamp::parse("2016-07-27T16:17:22Z")?;
//! let seq = store.next_seq();
//! batch.put_profile(&device, &Profile::default());
//! batch.put_pending(destination, &device, &PendingRow { seq, since });
//! assert_eq!(store.commit(&batch)?, seq);
//!
//! assert_eq!(store.profile(&device)?, Some(Profile::default()));
//! assert_eq!(store.pending(destination, None, 10)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod backend;
mod batch;
pub mod codec;
mod error;
mod head;
mod journal;
pub mod keys;
mod lock;
mod opt_out;
mod pending;
mod profile_log;
mod recent;
mod settings;
mod store;
mod table_list;
mod upgrade;

pub use batch::Batch;
pub use codec::{
    AttemptPage, AttemptRecord, BatchRecord, Link, PendingRow, PhaseMicros, REMOVALS_KEPT_MAX,
    Removal, RemovalCause, RemovalEnd, RemovalKey, Removals, Resend, Undelivered,
};
pub use error::{Cause, ErrorKind, StoreError};
pub use head::Head;
pub use keys::AttemptKey;
pub use opt_out::{OptOutKey, OptOutMark};
pub use settings::StoreSettings;
pub use store::{FORMAT, RecordKind, Recovery, Store};
