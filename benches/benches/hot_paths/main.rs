//! The hot paths of single crates, one module each: `cargo bench -p tidings-benches`, or with a part
//! of a name behind `--` for some of them.
//!
//! All run on the catalog and the devices of the whole-system benchmark, so that their times add up
//! to what that one shows. Input is made outside of what is timed.
#![forbid(unsafe_code)]

mod codec;
mod dispatch;
mod engine;
mod fixture;
mod rules;
mod store;
mod wire;

/// As the server: its allocator is part of what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}
