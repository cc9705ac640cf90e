//! A profile to the bytes of its row and back.

use crate::fixture::{apply, compiled, profile};
use divan::{Bencher, black_box, counter::BytesCount};
use tidings_benches::{catalog::TOGGLES, device};
use tidings_engine::{Engine, Profile};
use tidings_store::codec::{decode_profile, encode_profile};

/// A known device that is in a destination's segment and about to be told of.
fn pending() -> Profile {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let mut profile = profile(&mut engine, &catalog, 7);
    apply(
        &mut engine,
        &catalog,
        &mut profile,
        &device::enters(7, TOGGLES[0]),
        2,
    );
    profile
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let profile = pending();
    let mut out = Vec::new();
    encode_profile(&profile, &mut out);
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        encode_profile(black_box(&profile), &mut out);
        black_box(out.len())
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let mut bytes = Vec::new();
    encode_profile(&pending(), &mut bytes);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| decode_profile(black_box(&bytes)));
}
