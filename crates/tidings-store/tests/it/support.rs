//! What the tests share.

use std::{fs, path::Path};
use tidings_engine::{Profile, TraitState};
use tidings_model::{DestinationId, DeviceUuid, Timestamp, TraitId};
use tidings_store::{Batch, PendingRow, Store, StoreError, StoreSettings};

pub(crate) const DESTINATION: DestinationId = DestinationId(423);

/// Small enough that a test gets to see tables, and merges of them.
pub(crate) fn settings() -> StoreSettings {
    StoreSettings {
        recent_bytes: 64 * 1024,
        cache_bytes: 1024 * 1024,
        memtable_bytes: 64 * 1024,
        pending_pairs: 1024,
        profile_log_bytes: 64 * 1024,
        dangerous_allow_loss: false,
    }
}

pub(crate) fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, &settings())
}

pub(crate) fn device(number: u64) -> DeviceUuid {
    // Spread over the key space, as random ids are.
    let number = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    DeviceUuid::from_random(number.to_le_bytes())
}

/// A profile that tells `number`.
pub(crate) fn profile(number: u64) -> Profile {
    let trait_state = |n: u32| TraitState {
        id: TraitId(n * 97),
        last: Timestamp(i64::try_from(number).unwrap() * 61 + i64::from(n)),
        older: 0,
        days: [].as_slice().into(),
    };
    Profile {
        generation: u32::try_from(number).unwrap(),
        traits: (0..20).map(trait_state).collect(),
        ..Profile::default()
    }
}

/// Commits `count` batches. Batch `seq` marks the device `seq` as pending and writes the profile of the
/// device `seq % 50`.
pub(crate) fn commit(store: &Store, count: u64) {
    let mut batch = Batch::new();
    for _ in 0..count {
        let seq = store.next_seq();
        fill(&mut batch, seq);
        assert_eq!(store.commit(&batch).unwrap(), seq);
    }
}

pub(crate) fn fill(batch: &mut Batch, seq: u64) {
    batch.clear();
    let since = Timestamp(0);
    batch.put_pending(DESTINATION, &device(seq), &PendingRow { seq, since });
    if seq < 50 {
        batch.put_profile(&device(seq), &profile(seq));
    } else {
        batch.replace_profile(&device(seq % 50), &profile(seq));
    }
}

/// Whether the store holds what [`commit`] wrote up to its head, no more and no less.
pub(crate) fn verify(store: &Store) -> Result<(), StoreError> {
    let head = store.head().seq;
    let mut pending = store.pending(DESTINATION, None, usize::MAX)?;
    pending.sort_by_key(|(_, row)| row.seq);
    let expected: Vec<_> = (1..=head).collect();
    let found: Vec<_> = pending.iter().map(|(_, row)| row.seq).collect();
    assert_eq!(found, expected);
    for (uuid, row) in &pending {
        assert_eq!(*uuid, device(row.seq));
        assert_eq!(store.pending_row(DESTINATION, uuid)?, Some(*row));
    }
    for residue in 0..50 {
        let last = (1..=head).rev().find(|seq| seq % 50 == residue);
        assert_eq!(store.profile(&device(residue))?, last.map(profile));
    }
    Ok(())
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
